from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from rele.exceptions import ConfigurationError
from rele.runtime.worker_process import (
    VARIABLE,
    Lines,
    WorkerProcess,
    send_line,
    this_worker_process,
)


@pytest.fixture(autouse=True)
def unknown() -> Iterator[None]:
    """Whether this process is a worker is looked up anew."""
    this_worker_process.cache_clear()
    name = multiprocessing.current_process().name
    yield
    multiprocessing.current_process().name = name
    this_worker_process.cache_clear()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The supervisor's end, and the worker's."""
    supervisor, worker = socket.socketpair()
    with supervisor, worker:
        yield supervisor, worker


def test_lines_are_put_together_from_pieces() -> None:
    lines, data = Lines(), b'["due", "a line\\nof \\u00e9"]\n["pulling", ""]\n["ret'

    found = [line for byte in data for line in lines.read(bytes([byte]))]

    assert found == [("due", "a line\nof é"), ("pulling", "")]
    assert list(lines.read(b'ired", ""]\n')) == [("retired", "")]


def test_a_process_without_a_supervisor_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    assert this_worker_process() is None


def test_a_worker_finds_its_supervisor_which_its_own_children_do_not(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[socket.socket, socket.socket]
) -> None:
    supervisor, worker = ends
    descriptor = os.dup(worker.fileno())
    os.set_inheritable(descriptor, True)
    monkeypatch.setenv(VARIABLE, f"2:{descriptor}")

    process = this_worker_process()

    assert process is not None
    assert process is this_worker_process()
    assert (process.number, process.is_first) == (2, False)
    assert multiprocessing.current_process().name == "worker-2"
    assert VARIABLE not in os.environ
    assert not os.get_inheritable(descriptor)
    assert process.tell("due", "why")
    assert list(Lines().read(supervisor.recv(100))) == [("due", "why")]
    process._connection.close()


@pytest.mark.parametrize("value", ["1:9999", "1:0", "x", "1"])
def test_a_process_that_has_lost_its_supervisor_does_not_become_one(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(VARIABLE, value)

    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"unset the variable\.$"):
            this_worker_process()


def test_commands_are_obeyed_until_the_supervisor_is_gone(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    supervisor, worker = ends
    done: list[str] = []
    is_alone = threading.Event()

    WorkerProcess(1, worker).obey({"stop": lambda: done.append("stop"), "alone": is_alone.set})
    send_line(supervisor, "stop")
    supervisor.close()

    assert is_alone.wait(30)
    assert done == ["stop"]
    assert not WorkerProcess(1, worker).tell("pulling")
