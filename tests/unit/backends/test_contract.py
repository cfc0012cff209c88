from __future__ import annotations

from concurrent.futures import Future
from dataclasses import FrozenInstanceError

import pytest

from rele.backends import Accepted, BaseBackend, Deferred, Message, Refused
from rele.exceptions import DecodeError
from tests.support.backends import HeldBackend


def test_a_message_cannot_be_changed() -> None:
    message = Message("photos", b"1")

    with pytest.raises(FrozenInstanceError):
        message.topic = "orders"  # type: ignore[misc]


def test_messages_do_not_share_their_attributes() -> None:
    assert Message("photos", b"1").attributes is not Message("photos", b"1").attributes


def test_the_data_of_a_message_can_be_read_again() -> None:
    assert Message("photos", b'{"id": 1}').json() == {"id": 1}
    with pytest.raises(DecodeError):
        Message("photos", b"{").json()


def test_a_backend_must_say_how_it_is_made_and_how_it_sends() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseBackend(None)  # type: ignore[abstract]


def test_closing_a_backend_flushes_it() -> None:
    backend = HeldBackend()

    backend.close(5)

    assert backend.flushes == [5]


def test_a_backend_need_not_collect_anything() -> None:
    class Backend(BaseBackend):
        def __init__(self, config: object) -> None: ...
        def send(self, messages: object) -> list: ...  # type: ignore[type-arg, empty-body]

    backend = Backend(None)

    backend.flush()
    backend.close()
    backend.release()


def test_an_outcome_has_a_future_for_who_publishes() -> None:
    error = ValueError("too large")
    future: Future[str] = Future()

    assert Accepted(future).future is future
    assert Deferred("row-1").future.result(timeout=0) == "row-1"
    assert Refused(error).future.exception(timeout=0) is error
