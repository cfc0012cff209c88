"""What the unit tests share: a middleware that takes notes, and Google's own messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import settings

from tests.support.deliveries import Delivery
from tests.support.in_use import register
from tests.support.recorder import Recorder

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


@pytest.fixture
def hooks() -> Recorder:
    """The only middleware that is registered."""
    hooks = Recorder()
    register(hooks)
    return hooks


@pytest.fixture
def no_middleware() -> None:
    """No middleware is registered, not that of the test project's settings either."""
    register()


@pytest.fixture
def deliver() -> Callable[..., Delivery]:
    """Make a message of bytes and attributes, in its ``attempt``-th delivery if that is counted."""

    def deliver(data: bytes = b"{}", *, attempt: int = 0, **attributes: str) -> Delivery:
        return Delivery(data, attributes, attempt=attempt)

    return deliver
