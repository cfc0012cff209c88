from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import rele
from rele.backends import BaseBackend, Deferred, Message, Refused
from rele.exceptions import ConfigurationError
from tests.support.in_use import register
from tests.support.recorder import Recorder, raising

HOUR = timedelta(hours=1)


class Storing(BaseBackend):
    """Stores what is sent later, or refuses it."""

    stored: dict[str, tuple[Message, datetime | timedelta]] = {}  # noqa: RUF012 - of all instances
    error: Exception | None = None
    threads: set[str] = set()  # noqa: RUF012

    def __init__(self, config: Any) -> None: ...

    def send(self, messages: Sequence[Message]) -> list[Deferred]:
        raise AssertionError("nothing is sent at once")

    def send_later(self, message: Message, when: datetime | timedelta) -> Deferred | Refused:
        self.threads.add(threading.current_thread().name)
        if message.data == b'"refused"':
            return Refused(ValueError("no room"))
        if message.data == b'"broken"':
            raise OSError("no disk")
        self.stored["id-1"] = (message, when)
        return Deferred("id-1")

    def cancel_scheduled(self, event_id: str) -> bool:
        self.threads.add(threading.current_thread().name)
        return self.stored.pop(event_id, None) is not None

    def run_in_thread(self, publish: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(None, publish)


@pytest.fixture(autouse=True)
def _storing() -> None:
    Storing.stored.clear()
    Storing.threads.clear()
    rele.setup({"PUBLISHER_BACKEND": f"{__name__}.Storing", "MIDDLEWARE": []})


@pytest.mark.parametrize("when", [HOUR, datetime(2040, 1, 1, tzinfo=timezone.utc)])
def test_the_backend_gets_the_message_and_when_to_send_it(when: Any) -> None:
    scheduled = rele.publish_later("orders", {"id": 1}, when=when, ordering_key="a", lang="en")

    [(message, given)] = Storing.stored.values()
    assert given == when
    assert (message.topic, message.json(), message.ordering_key) == ("orders", {"id": 1}, "a")
    assert message.attributes.keys() == {"lang", "published_at"}
    assert scheduled.event_id == "id-1"


def test_a_handle_and_an_id_cancel_it() -> None:
    scheduled = rele.publish_later("orders", 1, when=HOUR)

    assert scheduled.cancel()
    assert not scheduled.cancel()
    assert not rele.cancel_scheduled("id-1")

    rele.publish_later("orders", 1, when=HOUR)
    assert rele.cancel_scheduled("id-1")


def test_pre_publish_runs_and_no_hook_of_an_outcome() -> None:
    register(recorder := Recorder())

    rele.publish_later("orders", 1, when=HOUR).cancel()

    assert recorder.names == ["pre_publish"]


def test_a_hook_may_refuse_it() -> None:
    register(recorder := Recorder())
    recorder.actions["pre_publish"] = raising(ValueError("not now"))

    with pytest.raises(ValueError, match="not now"):
        rele.publish_later("orders", 1, when=HOUR)

    assert not Storing.stored


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ("refused", ValueError, "no room"),
        ("broken", OSError, "no disk"),
        (object(), TypeError, "not JSON serializable"),
        ("x" * 10_000_001, Exception, "10,000,000"),
    ],
)
def test_a_message_that_is_refused_is_raised_and_reported(
    data: Any, error: type[Exception], text: str
) -> None:
    register(recorder := Recorder())

    with pytest.raises(error, match=text) as raised:
        rele.publish_later("orders", data, when=HOUR)

    assert recorder.names == ["pre_publish", "post_publish_failure"]
    assert recorder.arguments_of("post_publish_failure")[1] is raised.value


@pytest.mark.parametrize("when", [5, None, "tomorrow"])
def test_when_is_a_time_or_a_duration(when: Any) -> None:
    register(recorder := Recorder())

    with pytest.raises(TypeError, match=r"`when` must be a datetime or a timedelta, not "):
        rele.publish_later("orders", 1, when=when)

    assert recorder.names == []


def test_an_event_id_is_a_string() -> None:
    with pytest.raises(TypeError, match="The event id is a string, not None"):
        rele.cancel_scheduled(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda: rele.publish_later("orders", 1, when=HOUR),
        lambda: rele.cancel_scheduled("id"),
        lambda: asyncio.run(rele.apublish_later("orders", 1, when=HOUR)),  # type: ignore[arg-type]
        lambda: asyncio.run(rele.acancel_scheduled("id")),  # type: ignore[arg-type]
    ],
)
def test_a_backend_that_cannot_send_later_says_what_is_needed(call: Callable[[], Any]) -> None:
    rele.setup({"PUBLISHER_BACKEND": "tests.support.backends.HeldBackend", "MIDDLEWARE": []})
    register(recorder := Recorder())

    with pytest.raises(ConfigurationError) as raised:
        call()

    assert str(raised.value) == (
        "HeldBackend sends messages at once, and cannot send one later: let "
        "RELE['PUBLISHER_BACKEND'] name a backend that stores messages in the database, as "
        "docs/transactions.rst shows."
    )
    assert recorder.names == []


def test_an_event_loop_is_not_blocked() -> None:
    async def main() -> None:
        first = await rele.apublish_later("orders", 1, when=HOUR)
        assert await first.acancel()
        second = await rele.apublish_later("orders", 1, when=HOUR)
        assert await rele.acancel_scheduled(second.event_id)

    asyncio.run(main())

    assert threading.current_thread().name not in Storing.threads
