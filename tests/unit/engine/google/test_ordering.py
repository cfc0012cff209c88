from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from google.api_core.exceptions import NotFound

from rele.engine.google.ordering import OutsideOfLocks


@pytest.fixture
def outside() -> OutsideOfLocks:
    return OutsideOfLocks()


def test_a_success_is_followed_at_once(outside: OutsideOfLocks) -> None:
    future: Future[str] = Future()
    follower = outside.follow(future)

    future.set_result("message-1")

    assert follower.result(timeout=0) == "message-1"


def test_a_refusal_of_pubsub_is_followed_at_once(outside: OutsideOfLocks) -> None:
    future: Future[str] = Future()
    follower = outside.follow(future)

    future.set_exception(NotFound("no such topic"))

    assert isinstance(follower.exception(timeout=0), NotFound)


def test_what_the_client_cancels_is_reported_outside_of_its_lock(outside: OutsideOfLocks) -> None:
    lock = threading.Lock()
    heard = threading.Event()
    future: Future[str] = Future()
    follower = outside.follow(future)

    def publish_again(done: Future[str]) -> None:
        with lock:
            heard.set()

    follower.add_done_callback(publish_again)
    with lock:
        future.set_exception(RuntimeError("a former message of the key has failed"))

    assert heard.wait(10)
    assert isinstance(follower.exception(timeout=0), RuntimeError)
