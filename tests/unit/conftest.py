"""What the unit tests share: a middleware that takes notes, and Google's own messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage
from hypothesis import settings

from rele.engine.base import as_message
from tests.support.in_use import register

# How long an example takes says nothing on a machine that is busy.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")

_STARTS_A_PROCESS = {
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("os.system", "pty.spawn", "subprocess.Popen"),
}

_running: list[str] = []
"""The unit test that runs, if any."""
_started: list[str] = []
"""What it started."""


def _refuse_processes(event: str, arguments: tuple[Any, ...]) -> None:
    if _running and event in _STARTS_A_PROCESS:
        _started.append(f"{event}{arguments[:2]}")
        raise RuntimeError(
            f"{_running[0]} starts a process by {event}: a unit test starts none, nor a database "
            "server. Move it to tests/integration or tests/acceptance."
        )


sys.addaudithook(_refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Refuse processes from here on, in the fixtures of the whole session too."""
    _running.append(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, Any, Any]:
    """Refuse them no longer, and fail a test that has caught the refusal."""
    try:
        result = yield
    finally:
        _running.clear()
        started = _started.copy()
        _started.clear()
    if started:
        pytest.fail(f"A unit test starts no process, but this one tried: {started[0]}")
    return result


class Hooks:
    """A middleware that notes every hook that is called, with its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.actions: dict[str, Callable[..., Any]] = {}
        """What a hook does, after it was noted, by its name."""

    def setup(self, config: Any, **kwargs: Any) -> None:
        """It needs nothing of a configuration."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith(("pre_", "post_")):
            raise AttributeError(name)

        def hook(*args: Any) -> None:
            self.calls.append((name, *args))
            if name in self.actions:
                self.actions[name](*args)

        return hook

    @property
    def names(self) -> list[str]:
        """The names of the hooks, in the order of their calls."""
        return [call[0] for call in self.calls]

    def arguments_of(self, name: str) -> tuple[Any, ...]:
        """The arguments of the only call of a hook."""
        [arguments] = [call[1:] for call in self.calls if call[0] == name]
        return arguments


@pytest.fixture
def hooks() -> Hooks:
    """The only middleware that is registered."""
    hooks = Hooks()
    register(hooks)
    return hooks


@pytest.fixture
def no_middleware() -> None:
    """No middleware is registered, not that of the test project's settings either."""
    register()


class Delivery:
    """One received message, as an engine hands it over, and what was asked for it."""

    def __init__(self, data: bytes, attributes: dict[str, str], ordering_key: str = "") -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        content = pubsub_v1.types.PubsubMessage(
            data=data,
            attributes=attributes,
            ordering_key=ordering_key,
            message_id="message-1",
        )
        self.google_message = GoogleMessage(
            content._pb, ack_id="ack-1", delivery_attempt=0, request_queue=self._requests
        )
        self.message = as_message(self.google_message)

    def wait_for_request(self) -> Any:
        """The next request to the server; fails where none comes."""
        return self._requests.get(timeout=10)

    def requests(self) -> list[Any]:
        """Google's requests to the server since the last look."""
        requests = []
        while not self._requests.empty():
            requests.append(self._requests.get())
        return requests

    def settlements(self) -> list[str]:
        """``ack``, ``nack`` or ``drop`` for each request since the last look."""
        return [
            type(request).__name__.removesuffix("Request").lower() for request in self.requests()
        ]


@pytest.fixture
def deliver() -> Callable[..., Delivery]:
    """Make a message of bytes and attributes."""

    def deliver(data: bytes = b"{}", **attributes: str) -> Delivery:
        return Delivery(data, attributes)

    return deliver


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises ``error`` whatever it is called with."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail
