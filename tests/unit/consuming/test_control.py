from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from unittest.mock import Mock, call

import pytest

from rele import middleware
from rele.consuming.control import WorkerControl
from rele.exceptions import ConfigurationError
from rele.runtime.in_use import IN_USE
from rele.runtime.recycling_rule import RecyclingRule
from rele.runtime.worker_process import Lines, WorkerProcess, send_line


class Config:
    middleware: list[str] = []  # noqa: RUF012


@pytest.fixture(autouse=True)
def none_registered() -> Iterator[None]:
    yield
    IN_USE.forget()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, WorkerProcess]]:
    """The supervisor's end of a connection, and the worker's."""
    supervisor, worker = socket.socketpair()
    supervisor.settimeout(30)
    with supervisor, worker:
        yield supervisor, WorkerProcess(2, worker)


def test_without_a_supervisor_enough_messages_stop_the_worker_without_hurry() -> None:
    middleware.register_middleware(Config())
    worker = Mock()
    WorkerControl(None, RecyclingRule(max_messages=2), Mock()).take(worker)

    middleware.run_middleware_hook("post_process_message")
    worker.request_stop.assert_not_called()
    middleware.run_middleware_hook("post_process_message")
    middleware.run_middleware_hook("post_process_message")

    worker.request_stop.assert_called_once_with(unhurried=True)


def test_messages_are_counted_although_the_project_sets_up_other_middleware() -> None:
    worker = Mock()
    WorkerControl(None, RecyclingRule(max_messages=1), Mock()).take(worker)

    middleware.register_middleware(Config())
    middleware.run_middleware_hook("post_process_message")

    worker.request_stop.assert_called_once_with(unhurried=True)


def test_messages_that_end_in_several_threads_at_a_time_are_all_counted() -> None:
    worker = Mock()
    control = WorkerControl(None, RecyclingRule(max_messages=8000), Mock())
    control.take(worker)

    def handle(count: int) -> None:
        for _ in range(count):
            control.post_process_message()

    threads = [threading.Thread(target=handle, args=[1000 - (number == 0)]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    worker.request_stop.assert_not_called()
    handle(1)
    worker.request_stop.assert_called_once_with(unhurried=True)


def test_a_worker_without_limits_has_no_hook() -> None:
    middleware.register_middleware(Config())

    WorkerControl(None, RecyclingRule(), Mock()).take(Mock())

    assert IN_USE.middleware == []


def test_a_limit_that_a_worker_exceeds_already_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"MiB of memory before its first message"):
        WorkerControl(None, RecyclingRule(max_rss=1024), Mock()).take(Mock())


def test_with_a_supervisor_the_worker_waits_for_its_turn_and_ends_what_runs_beside_it_first(
    ends: tuple[socket.socket, WorkerProcess],
) -> None:
    supervisor, process = ends
    middleware.register_middleware(Config())
    is_asked, done = threading.Event(), Mock()
    done.request_stop.side_effect = lambda **kwargs: is_asked.set()
    WorkerControl(process, RecyclingRule(max_messages=1), done.end_rooms).take(done)

    middleware.run_middleware_hook("post_process_message")
    [(event, reason)] = Lines().read(supervisor.recv(1000))
    assert (event, reason) == ("due", "it has handled 1 message(s) (--max-messages)")
    assert done.mock_calls == []

    send_line(supervisor, "recycle")
    assert list(Lines().read(supervisor.recv(1000))) == [("retired", "")]
    assert is_asked.wait(30)
    assert done.mock_calls == [call.end_rooms(), call.request_stop(unhurried=True)]


@pytest.mark.parametrize(
    ("command", "asked"), [("stop", call.request_stop()), ("end", call.end_at_once())]
)
def test_commands_reach_the_worker(
    ends: tuple[socket.socket, WorkerProcess], command: str, asked: object
) -> None:
    supervisor, process = ends
    is_asked, worker = threading.Event(), Mock()
    worker.request_stop.side_effect = worker.end_at_once.side_effect = is_asked.set
    WorkerControl(process, RecyclingRule(), Mock()).take(worker)

    send_line(supervisor, command)

    assert is_asked.wait(30)
    assert worker.mock_calls == [asked]


def test_a_worker_whose_supervisor_has_ended_stops(
    ends: tuple[socket.socket, WorkerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, process = ends
    is_asked, worker = threading.Event(), Mock()
    worker.request_stop.side_effect = is_asked.set
    WorkerControl(process, RecyclingRule(), Mock()).take(worker)

    supervisor.close()

    assert is_asked.wait(30)
    assert "The supervisor of this worker has ended" in caplog.text
