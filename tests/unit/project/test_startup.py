from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from rele import Subscription
from rele.config import Config
from rele.consuming.worker_plan import plan_of_config
from rele.exceptions import ConfigurationError
from rele.project.extensions import Room
from rele.project.loading import Project, raise_for_a_worker
from rele.project.startup import announce, is_supervisor, run_worker, warn
from rele.runtime.worker_process import Lines, WorkerProcess
from rele.schema.problems import Problem
from rele.status.controls import SubscriptionControl

ERROR = Problem("rele.E004", "No such middleware.", "Correct it.")
CREDENTIALS = Problem("rele.W002", "No key file.", "Write its path.")
IMPORT = Problem("rele.W003", "No such module.", "Fix it.")
WARNING = Problem("rele.W001", "Unknown setting.", "Remove it.")


class TestRaiseForAWorker:
    @pytest.mark.parametrize("problem", [ERROR, CREDENTIALS, IMPORT])
    def test_raises_what_a_worker_cannot_do_without(self, problem: Problem) -> None:
        with pytest.raises(ConfigurationError) as raised:
            raise_for_a_worker([WARNING, problem])

        assert str(raised.value) == str(problem)

    def test_raises_all_of_them_at_once_a_line_each(self) -> None:
        with pytest.raises(ConfigurationError) as raised:
            raise_for_a_worker(iter([ERROR, WARNING, IMPORT]))

        assert str(raised.value) == "No such middleware. Correct it.\nNo such module. Fix it."

    @pytest.mark.parametrize("number", ["W001", "W004", "W005", "W006"])
    def test_lets_a_worker_start_with_any_other_warning(self, number: str) -> None:
        raise_for_a_worker([Problem(f"rele.{number}", "", "")])


def test_warnings_are_written_to_the_standard_error(capsys: Any) -> None:
    warn([ERROR, WARNING, CREDENTIALS, IMPORT])

    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "Warning: Unknown setting. Remove it.\n")


class TestAnnounce:
    def test_writes_a_line_for_each_sub(self) -> None:
        lines: list[str] = []

        announce([Subscription(print, "photos"), Subscription(len, "orders")], "", lines.append)

        assert lines == [
            "Configuring worker with 2 subscription(s)...",
            "  photos - print",
            "  orders - len",
        ]

    def test_without_any_says_where_they_were_looked_for(self) -> None:
        lines: list[str] = []

        with pytest.raises(ConfigurationError, match=r"looked for subs\.py below /shop; declare"):
            announce([], "subs.py below /shop", lines.append)

        assert lines == []

    def test_says_in_how_many_processes(self) -> None:
        lines: list[str] = []

        announce([Subscription(print, "photos")], "", lines.append, 3)

        assert lines[0] == "Configuring worker with 1 subscription(s) in 3 process(es)..."


PROJECT = Project(
    Config({"GC_PROJECT_ID": "p", "THREADS_PER_SUBSCRIPTION": 5}),
    (Subscription(print, "photos"), Subscription(len, "orders", threads=7)),
)


class TestRunWorker:
    @pytest.fixture
    def supervisor(self) -> Iterator[socket.socket]:
        supervisor, self.own_end = socket.socketpair()
        with supervisor, self.own_end:
            yield supervisor

    @pytest.fixture
    def become(
        self, supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[int], None]:
        """Let this process be the worker of that number."""

        def become(number: int) -> None:
            process = WorkerProcess(number, self.own_end)
            monkeypatch.setattr("rele.project.startup.this_worker_process", lambda: process)

        return become

    @pytest.fixture
    def begun(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What runs beside the worker, and has begun."""
        begun: list[str] = []

        @contextmanager
        def beside(*args: object) -> Iterator[Callable[[], None]]:
            yield lambda: begun.append("begun")
            begun.append("ended")

        monkeypatch.setattr("rele.project.startup.beside_worker", beside)
        return begun

    @pytest.mark.parametrize(("number", "beside"), [(1, ["begun", "ended"]), (2, []), (3, [])])
    def test_what_rooms_have_runs_beside_the_first_of_several_workers(
        self, become: Callable[[int], None], begun: list[str], number: int, beside: list[str]
    ) -> None:
        become(number)

        run_worker(PROJECT, {}, "", lambda subs, config, on_start, before_run: on_start())

        assert begun == beside

    def test_a_worker_says_to_its_supervisor_alone_that_it_pulls(
        self, become: Callable[[int], None], supervisor: socket.socket, capsys: Any
    ) -> None:
        become(2)

        run_worker(PROJECT, {}, "", lambda subs, config, on_start, before_run: on_start())

        assert list(Lines().read(supervisor.recv(1000))) == [("pulling", "")]
        assert capsys.readouterr() == ("", "")

    def test_and_why_it_cannot_start(
        self, become: Callable[[int], None], supervisor: socket.socket, capsys: Any
    ) -> None:
        become(2)

        with pytest.raises(SystemExit) as raised:
            run_worker(PROJECT, {}, "", Mock(side_effect=ConfigurationError("No project.")))

        assert raised.value.code == 1
        assert list(Lines().read(supervisor.recv(1000))) == [("failed", "No project.")]
        assert capsys.readouterr() == ("", "")

    def test_unless_there_is_no_supervisor_any_more(
        self, become: Callable[[int], None], supervisor: socket.socket
    ) -> None:
        become(2)
        supervisor.close()

        with pytest.raises(ConfigurationError, match="No project"):
            run_worker(PROJECT, {}, "", Mock(side_effect=ConfigurationError("No project.")))

    @pytest.mark.usefixtures("begun")
    def test_a_number_of_threads_takes_precedence_over_what_is_declared(self) -> None:
        run = Mock()

        run_worker(PROJECT, {"threads": 3}, "", run)

        subs, config = run.call_args.args
        plan = plan_of_config(config, config.connection, subs)
        assert [each.threads for each in plan.consumers] == [3, 3]
        assert PROJECT.config is not None
        plan = plan_of_config(PROJECT.config, config.connection, subs)
        assert [each.threads for each in plan.consumers] == [5, 7]

    @pytest.mark.usefixtures("begun")
    def test_what_rooms_read_of_subscriptions_controls_the_worker(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = {"photos": SubscriptionControl(is_paused=True)}
        room = Room("switches", controls=lambda config: lambda: asked)
        monkeypatch.setattr("rele.project.extensions.rooms_in_use", lambda: [room, Room("other")])
        consumer, worker = Mock(), Mock()

        def run(subs: Any, config: Any, on_start: Any, before_run: Any) -> None:
            before_run(worker)
            worker.remote_control.begin({"photos": (consumer, 2)})
            worker.remote_control.end()

        run_worker(PROJECT, {}, "", run)

        consumer.pause.assert_called_once_with()

    @pytest.mark.usefixtures("begun")
    def test_only_what_is_chosen_is_announced_and_consumed(self, capsys: Any) -> None:
        run = Mock()

        run_worker(PROJECT, {"only": ["p*"]}, "", run)

        assert [sub.name for sub in run.call_args.args[0]] == ["photos"]
        assert "Configuring worker with 1 subscription(s)..." in capsys.readouterr().err

    def test_a_supervisor_runs_no_worker_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        supervise = Mock(return_value=1)
        monkeypatch.setattr("rele.project.startup.supervise", supervise)
        run = Mock()

        with pytest.raises(SystemExit) as raised:
            run_worker(PROJECT, {"processes": 2}, "", run)

        assert raised.value.code == 1
        run.assert_not_called()
        assert is_supervisor({"processes": 2})
        assert not is_supervisor({"processes": None})
        count, seconds, *_ = supervise.call_args.args
        assert (count, seconds) == (2, 30 + 3 + 4)
