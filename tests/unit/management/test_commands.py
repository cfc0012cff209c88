from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command

from rele import emulator
from rele.emulator import PortInUseError
from rele.exceptions import NoProjectError
from rele.middleware import BaseMiddleware
from rele.worker import NotConnectionError
from tests.unit.management.conftest import InstallApp

Output = Any

SUBS = """
from rele import sub

@sub("photos", suffix="thumbs")
def make_thumbnail(data, **attributes): ...

@sub("orders", prefix="own")
def ship(data, **attributes): ...
"""


class Registered(BaseMiddleware):
    apps: list[str | None] = []  # noqa: RUF012 - shared, to be looked at

    def setup(self, config: Any, **kwargs: Any) -> None:
        self.apps.append(config.app_name)


@pytest.fixture
def create_and_run(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What stands in for the worker."""
    create_and_run = Mock()
    monkeypatch.setattr("rele.management.commands.runrele.create_and_run", create_and_run)
    return create_and_run


class TestRunrele:
    def test_runs_a_worker_for_the_subscriptions_of_the_apps(
        self, install_app: InstallApp, settings: Any, create_and_run: Mock, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {**settings.RELE, "SUB_PREFIX": "shop", "ACK_DEADLINE": 17}

        call_command("runrele")

        [(subs, config)] = [call.args for call in create_and_run.call_args_list]
        assert {sub.name for sub in subs} == {"shop-photos-thumbs", "own-orders"}
        assert config.ack_deadline == 17
        output = capsys.readouterr().out
        assert output.startswith("Configuring worker with 2 subscription(s)...\n")
        assert "shop-photos-thumbs - make_thumbnail" in output

    def test_says_when_it_pulls(
        self, install_app: InstallApp, create_and_run: Mock, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        create_and_run.side_effect = lambda subs, config, on_start: on_start()

        call_command("runrele")

        assert capsys.readouterr().out.endswith("Pulling messages. Press Ctrl-C to stop.\n")

    def test_gives_the_filters_of_the_settings_to_the_subscriptions(
        self, install_app: InstallApp, settings: Any, create_and_run: Mock
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {**settings.RELE, "FILTER_SUBS_BY": lambda attrs: False}

        call_command("runrele")

        assert all(len(sub.filter_by) == 1 for sub in create_and_run.call_args.args[0])

    def test_registers_the_middleware(
        self, install_app: InstallApp, settings: Any, create_and_run: Mock
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {"APP_NAME": "shop", "MIDDLEWARE": [f"{__name__}.Registered"]}
        Registered.apps.clear()

        call_command("runrele")

        assert Registered.apps == ["shop"]

    def test_without_subscriptions_says_what_is_missing(
        self, install_app: InstallApp, create_and_run: Mock
    ) -> None:
        install_app("gallery_app", {})

        with pytest.raises(CommandError, match=r"in the installed apps: .*gallery_app"):
            call_command("runrele")

        create_and_run.assert_not_called()

    @pytest.mark.parametrize("error", [NoProjectError(), NotConnectionError("not at here:1")])
    def test_what_stops_the_worker_is_an_error_of_the_command(
        self, install_app: InstallApp, create_and_run: Mock, error: Exception
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        create_and_run.side_effect = error

        with pytest.raises(CommandError) as raised:
            call_command("runrele")

        assert str(raised.value) == str(error)

    @pytest.mark.parametrize("max_age", [1, 3600, None])
    def test_warns_of_connections_that_last_by_the_database_that_has_them(
        self,
        install_app: InstallApp,
        create_and_run: Mock,
        monkeypatch: pytest.MonkeyPatch,
        settings: Any,
        capsys: Output,
        max_age: int | None,
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        monkeypatch.setitem(settings.DATABASES["default"], "CONN_MAX_AGE", 0)
        monkeypatch.setitem(settings.DATABASES, "archive", {"CONN_MAX_AGE": max_age})

        call_command("runrele")

        [warning] = capsys.readouterr().err.splitlines()
        assert "the database 'archive' has CONN_MAX_AGE" in warning
        create_and_run.assert_called_once()

    def test_does_not_warn_of_connections_that_are_closed(
        self, install_app: InstallApp, create_and_run: Mock, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})

        call_command("runrele")

        assert capsys.readouterr().err == ""


class TestShowsubscriptions:
    def test_prints_a_table_sorted_by_topic(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {**settings.RELE, "SUB_PREFIX": "shop"}

        call_command("showsubscriptions")

        assert capsys.readouterr().out.splitlines() == [
            "Topic   Subscriber(s)       Sub",
            "------  ------------------  -------------------------------",
            "orders  own-orders          gallery_app.subs.ship",
            "photos  shop-photos-thumbs  gallery_app.subs.make_thumbnail",
        ]

    def test_without_subscriptions_prints_the_heading_alone(
        self, install_app: InstallApp, capsys: Output
    ) -> None:
        install_app("gallery_app", {})

        call_command("showsubscriptions")

        heading, rule = capsys.readouterr().out.splitlines()
        assert heading.split() == ["Topic", "Subscriber(s)", "Sub"]
        assert set(rule) == {"-", " "}

    def test_lists_the_modules_that_a_test_says_are_there(
        self, install_app: InstallApp, monkeypatch: pytest.MonkeyPatch, capsys: Output
    ) -> None:
        install_app("gallery_app", {"others.py": SUBS})
        monkeypatch.setattr(
            "rele.management.commands.showsubscriptions.discover_subs_modules",
            lambda: ["gallery_app.others"],
        )

        call_command("showsubscriptions")

        assert "gallery_app.others.ship" in capsys.readouterr().out

    def test_needs_no_project_and_no_server(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {"CLIENT_OPTIONS": {"api_endpoint": "nowhere.invalid:1"}}

        call_command("showsubscriptions")

        assert "own-orders" in capsys.readouterr().out


class TestRele:
    @pytest.fixture
    def serve(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        """What stands in for the server."""
        serve = Mock(return_value=0)
        monkeypatch.setattr(emulator, "serve", serve)
        return serve

    @pytest.mark.parametrize(
        ("options", "address"),
        [
            ((), ("127.0.0.1", 8085)),
            (("--host-port", "0.0.0.0:0"), ("0.0.0.0", 0)),
            (("--host-port=localhost:9000",), ("localhost", 9000)),
        ],
    )
    def test_the_emulator_listens_where_it_is_told(
        self, serve: Mock, options: tuple[str, ...], address: tuple[str, int]
    ) -> None:
        call_command("rele", "emulator", *options)

        assert serve.call_args.args == address

    def test_the_emulator_says_where_it_listens(self, serve: Mock, capsys: Output) -> None:
        def start(host: str, port: int, on_started: Callable[[str], None], **options: Any) -> int:
            on_started("127.0.0.1:1234")
            return 0

        serve.side_effect = start

        call_command("rele", "emulator")

        [line] = capsys.readouterr().out.splitlines()
        assert "PUBSUB_EMULATOR_HOST=127.0.0.1:1234" in line

    @pytest.mark.parametrize("address", ["8085", ":8085", "localhost", "localhost:", "a:b"])
    def test_an_address_that_is_none_is_an_error_of_the_command(
        self, serve: Mock, address: str
    ) -> None:
        with pytest.raises(CommandError, match=f"--host-port needs HOST:PORT.*{address!r}"):
            call_command("rele", "emulator", "--host-port", address)

        serve.assert_not_called()

    def test_a_port_in_use_is_an_error_of_the_command(self, serve: Mock) -> None:
        serve.side_effect = PortInUseError("127.0.0.1:8085")

        with pytest.raises(CommandError, match=r"cannot listen on 127\.0\.0\.1:8085"):
            call_command("rele", "emulator")

    def test_the_exit_status_of_a_subcommand_is_the_commands(self, serve: Mock) -> None:
        serve.return_value = 3

        with pytest.raises(SystemExit) as raised:
            call_command("rele", "emulator")

        assert raised.value.code == 3

    @pytest.mark.parametrize("arguments", [(), ("no-such-command",)])
    def test_it_needs_a_subcommand(self, arguments: tuple[str, ...]) -> None:
        with pytest.raises(CommandError):
            call_command("rele", *arguments)
