from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import rele
from rele import emulator
from rele.cli import main
from rele.emulator import DataDirError, PortInUseError, StatusError
from rele.exceptions import ConfigurationError, NoProjectError
from rele.worker import NotConnectionError
from tests.support.modules import forgotten, write_file

Output = Any
Write = Callable[[str, str], None]

SUBS = """
from rele import sub

@sub("photos")
def make_thumbnail(data, **attributes): ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a file of the project in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    with forgotten(tmp_path):
        sys.modules.pop("settings", None)
        yield lambda name, content: write_file(tmp_path / name, content)


@pytest.fixture
def create_and_run(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What stands in for the worker."""
    create_and_run = Mock()
    monkeypatch.setattr("rele.worker.create_and_run", create_and_run)
    return create_and_run


class TestRun:
    def test_runs_a_worker_for_the_subs_in_the_folder(
        self, write: Write, create_and_run: Mock, capsys: Output
    ) -> None:
        write("settings.py", "RELE = {'SUB_PREFIX': 'shop', 'MIDDLEWARE': []}")
        write("subs.py", SUBS)
        write("orders/subs.py", SUBS.replace("photos", "orders"))

        assert main(["run"]) == 0

        [(subs, config)] = [call.args for call in create_and_run.call_args_list]
        assert [sub.name for sub in subs] == ["shop-photos", "shop-orders"]
        assert config.sub_prefix == "shop"
        printed, output = capsys.readouterr()
        assert printed == ""
        assert output.startswith("Configuring worker with 2 subscription(s)...\n")
        assert "shop-orders - make_thumbnail" in output

    def test_says_when_it_pulls(self, write: Write, create_and_run: Mock, capsys: Output) -> None:
        write("settings.py", "RELE = {'MIDDLEWARE': []}")
        write("subs.py", SUBS)
        create_and_run.side_effect = lambda subs, config, on_start, **controls: on_start()

        main(["run"])

        assert capsys.readouterr().err.endswith("Pulling messages. Press Ctrl-C to stop.\n")

    @pytest.mark.parametrize("option", ["-s", "--settings"])
    def test_takes_the_settings_that_are_named(
        self, write: Write, create_and_run: Mock, option: str
    ) -> None:
        write("settings.py", "RELE = {'APP_NAME': 'default', 'MIDDLEWARE': []}")
        write("conf/production.py", "RELE = {'APP_NAME': 'production', 'MIDDLEWARE': []}")
        write("subs.py", SUBS)

        assert main(["run", option, "conf.production"]) == 0

        assert create_and_run.call_args.args[1].app_name == "production"

    def test_takes_third_party_subscriptions_too(self, write: Write, create_and_run: Mock) -> None:
        write("settings.py", "RELE = {'MIDDLEWARE': []}")
        write("subs.py", SUBS)
        write("vendor/one.py", SUBS.replace("photos", "one"))
        write("vendor/two.py", SUBS.replace("photos", "two"))

        main(["run", "--third-party-subscriptions", "vendor.one", "vendor.two"])

        names = [sub.name for sub in create_and_run.call_args.args[0]]
        assert names == ["photos", "one", "two"]

    def test_third_party_subscriptions_that_cannot_be_imported_are_an_error(
        self, write: Write, create_and_run: Mock, capsys: Output
    ) -> None:
        write("settings.py", "RELE = {'MIDDLEWARE': []}")
        write("subs.py", SUBS)

        assert main(["run", "--third-party-subscriptions", "no_such_vendor"]) == 1

        assert "--third-party-subscriptions names 'no_such_vendor'" in capsys.readouterr().err
        create_and_run.assert_not_called()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (None, "Error: There is no settings.py in "),
            ("DEBUG = True", "Error: The settings module 'settings' has no dict named RELE"),
        ],
    )
    def test_without_settings_says_what_is_missing(
        self,
        write: Write,
        create_and_run: Mock,
        settings: str | None,
        message: str,
        capsys: Output,
    ) -> None:
        write("subs.py", SUBS)
        if settings is not None:
            write("settings.py", settings)

        assert main(["run"]) == 1

        assert message in capsys.readouterr().err
        create_and_run.assert_not_called()

    def test_without_subscriptions_says_what_is_missing(
        self, write: Write, create_and_run: Mock, capsys: Output
    ) -> None:
        write("settings.py", "RELE = {'MIDDLEWARE': []}")

        assert main(["run"]) == 1

        assert "Error: There is no subscription to consume" in capsys.readouterr().err
        create_and_run.assert_not_called()

    @pytest.mark.parametrize(
        ("settings", "subs", "message"),
        [
            ("RELE = {'ENCODER_PATH': 'json.dumps'}", SUBS, "'json.dumps', which is not a subcla"),
            ("RELE = {}", SUBS.replace("photos", "1"), "refuses the topic name '1'"),
            ("RELE = {}", "1 / 0", "The subs module 'subs' cannot be imported: ZeroDivisionError"),
            ("1 / 0", SUBS, "The settings module 'settings' cannot be imported: ZeroDivisionErr"),
        ],
    )
    def test_what_is_wrong_keeps_it_from_starting(
        self,
        write: Write,
        create_and_run: Mock,
        settings: str,
        subs: str,
        message: str,
        capsys: Output,
    ) -> None:
        write("settings.py", settings)
        write("subs.py", subs)

        assert main(["run"]) == 1

        assert message in capsys.readouterr().err
        create_and_run.assert_not_called()

    def test_what_may_be_wrong_is_only_a_warning(
        self, write: Write, create_and_run: Mock, capsys: Output
    ) -> None:
        write("settings.py", "RELE = {'MIDDLEWARES': []}")
        write("subs.py", SUBS)

        assert main(["run"]) == 0

        assert capsys.readouterr().err == (
            "Warning: RELE has the unknown setting 'MIDDLEWARES'. Did you mean 'MIDDLEWARE'? Else "
            "remove it.\n"
            "Configuring worker with 1 subscription(s)...\n"
            "  photos - make_thumbnail\n"
        )
        create_and_run.assert_called_once()

    @pytest.mark.parametrize("error", [NoProjectError(), NotConnectionError("not at here:1")])
    def test_what_stops_the_worker_is_an_error_in_one_line(
        self, write: Write, create_and_run: Mock, error: Exception, capsys: Output
    ) -> None:
        write("settings.py", "RELE = {'MIDDLEWARE': []}")
        write("subs.py", SUBS)
        create_and_run.side_effect = error

        assert main(["run"]) == 1

        assert capsys.readouterr().err.splitlines()[-1] == f"Error: {error}"


class TestEmulator:
    @pytest.fixture
    def serve(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        """What stands in for the server."""
        serve = Mock(return_value=0)
        monkeypatch.setattr(emulator, "serve", serve)
        return serve

    @pytest.mark.parametrize(
        ("options", "address"),
        [
            ([], ("127.0.0.1", 8085)),
            (["--host-port", "0.0.0.0:0"], ("0.0.0.0", 0)),
        ],
    )
    def test_listens_at_the_given_address(
        self, serve: Mock, options: list[str], address: tuple[str, int]
    ) -> None:
        assert main(["emulator", *options]) == 0

        assert serve.call_args.args == address

    @pytest.mark.parametrize("address", ["8085", ":8085", "localhost", "localhost:", "a:b"])
    def test_an_address_that_is_none_is_an_error(
        self, serve: Mock, address: str, capsys: Output
    ) -> None:
        assert main(["emulator", "--host-port", address]) == 1

        assert "Error: --host-port needs HOST:PORT" in capsys.readouterr().err
        serve.assert_not_called()

    @pytest.mark.parametrize(
        ("address", "reached", "warned"),
        [
            ("127.0.0.1:1", "127.0.0.1:1", False),
            ("[::1]:1", "[::1]:1", False),
            ("0.0.0.0:1", "127.0.0.1:1", True),
            ("[::]:1", "[::1]:1", True),
            ("192.0.2.1:1", "192.0.2.1:1", True),
        ],
    )
    def test_says_how_to_reach_it_and_who_may(
        self, serve: Mock, address: str, reached: str, warned: bool, capsys: Output
    ) -> None:
        serve.side_effect = lambda host, port, on_started, **rest: on_started(address) or 0

        main(["emulator"])

        output = capsys.readouterr()
        first, export = output.out.splitlines()
        assert address in first
        assert export == f"export PUBSUB_EMULATOR_HOST={reached}"
        assert ("nothing is authenticated" in output.err) is warned

    def test_logs_from_the_level_that_is_named(
        self, serve: Mock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logger = logging.getLogger("rele.emulator")
        monkeypatch.setattr(logger, "level", logger.level)

        main(["emulator", "--log-level", "info"])

        assert logger.getEffectiveLevel() == logging.INFO

    def test_a_port_in_use_is_an_error(self, serve: Mock, capsys: Output) -> None:
        serve.side_effect = PortInUseError("127.0.0.1:8085")

        assert main(["emulator"]) == 1

        assert "127.0.0.1:8085: another program" in capsys.readouterr().err

    def test_a_port_that_is_none_is_an_error_in_one_line(self, capsys: Output) -> None:
        assert main(["emulator", "--host-port", "127.0.0.1:99999"]) == 1

        [line] = capsys.readouterr().err.splitlines()
        assert "--host-port is '127.0.0.1:99999': a port is a number from 0 to 65535." in line

    def test_everything_is_in_memory_unless_a_data_dir_is_given(
        self, serve: Mock, capsys: Output
    ) -> None:
        assert main(["emulator"]) == 0
        assert serve.call_args.kwargs["data_dir"] is None

        assert main(["emulator", "--data-dir", "some/where"]) == 0
        assert serve.call_args.kwargs["data_dir"] == Path("some/where")
        serve.call_args.kwargs["on_progress"]("Opening …")
        serve.call_args.kwargs["on_started"]("127.0.0.1:8085")
        output = capsys.readouterr()
        assert output.err == "Opening …\n"
        assert output.out.splitlines() == [
            "Topics, subscriptions and messages are kept in some/where.",
            "Pub/Sub is listening on 127.0.0.1:8085. Point clients at it with:",
            "export PUBSUB_EMULATOR_HOST=127.0.0.1:8085",
        ]

    def test_a_directory_that_cannot_be_used_is_an_error(self, serve: Mock, capsys: Output) -> None:
        serve.side_effect = DataDirError("some/where", "another server is using it.")

        assert main(["emulator", "--data-dir", "some/where"]) == 1

        assert capsys.readouterr().err == (
            "Error: The Pub/Sub emulator cannot use the data directory some/where: "
            "another server is using it.\n"
        )

    def test_the_exit_status_is_the_servers(self, serve: Mock) -> None:
        serve.return_value = 3

        assert main(["emulator"]) == 3


@pytest.mark.parametrize("place", ["before", "after"])
def test_with_traceback_an_error_is_raised(write: Write, place: str) -> None:
    option = {"before": ["--traceback", "run"], "after": ["run", "--traceback"]}

    with pytest.raises(ConfigurationError, match=r"There is no settings\.py in "):
        main(option[place])


def test_ctrl_c_ends_a_command_without_a_traceback(
    write: Write, create_and_run: Mock, capsys: Output
) -> None:
    write("settings.py", "RELE = {'MIDDLEWARE': []}")
    write("subs.py", SUBS)
    create_and_run.side_effect = KeyboardInterrupt

    assert main(["run"]) == 130
    assert "Traceback" not in capsys.readouterr().err


REPORT = {
    "topics": [{"name": "projects/p/topics/orders", "subscriptions": 1}],
    "subscriptions": [
        {
            "name": "projects/p/subscriptions/ship",
            "topic": "projects/p/topics/orders",
            "consumers": 1,
            "waiting": 2,
            "outstanding": 1,
            "oldest_seconds": 3.4,
        }
    ],
}


class TestEmulatorStatus:
    @pytest.fixture
    def ask(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        """What stands in for the running server."""
        ask = Mock(return_value=REPORT)
        monkeypatch.setattr(emulator, "ask_status", ask)
        return ask

    @pytest.mark.parametrize(
        ("options", "variable", "address"),
        [
            ([], None, "127.0.0.1:8085"),
            ([], "pubsub:1", "pubsub:1"),
            (["--host-port", "localhost:2"], "pubsub:1", "localhost:2"),
        ],
    )
    def test_asks_the_server_that_is_named(
        self,
        ask: Mock,
        monkeypatch: pytest.MonkeyPatch,
        options: list[str],
        variable: str | None,
        address: str,
    ) -> None:
        if variable is not None:
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", variable)

        assert main(["emulator", "--status", *options]) == 0

        ask.assert_called_once_with(address)

    def test_shows_a_table(self, ask: Mock, capsys: Output) -> None:
        main(["emulator", "--status"])

        assert "ship" in capsys.readouterr().out

    def test_shows_json(self, ask: Mock, capsys: Output) -> None:
        main(["emulator", "--status", "--format", "json"])

        assert json.loads(capsys.readouterr().out) == REPORT

    def test_a_server_that_does_not_answer_is_an_error(self, ask: Mock, capsys: Output) -> None:
        ask.side_effect = StatusError("nobody is there")

        assert main(["emulator", "--status"]) == 1

        assert capsys.readouterr().err == "Error: nobody is there\n"

    def test_a_variable_that_is_no_address_is_an_error(
        self, ask: Mock, monkeypatch: pytest.MonkeyPatch, capsys: Output
    ) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "nowhere")

        assert main(["emulator", "--status"]) == 1

        assert "Error: PUBSUB_EMULATOR_HOST needs HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["no-such-command"], ["run", "--no-such-option"]])
def test_what_is_no_command_is_an_error_of_status_2(arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)

    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("rele-cli")


def test_the_help_names_every_command(capsys: Output) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--help"])

    assert raised.value.code == 0
    output = capsys.readouterr().out
    assert "run " in output
    assert "emulator " in output


def test_without_arguments_it_prints_its_help(capsys: Output) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    asked_for = capsys.readouterr()

    assert main([]) == 0

    assert capsys.readouterr() == asked_for


def test_the_version_is_the_packages(capsys: Output) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])

    assert raised.value.code == 0
    assert capsys.readouterr().out == f"rele {rele.__version__}\n"
