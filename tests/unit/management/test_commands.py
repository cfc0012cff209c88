from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from rele import emulator
from rele.emulator import PortInUseError
from rele.exceptions import NoProjectError, ResourceError
from rele.management.commands.runrele import Command as Runrele
from rele.middleware import BaseMiddleware
from rele.project.comparison import Comparison
from rele.project.inspection import problems_of_settings
from rele.resources import Change, Difference, Plan
from rele.retry_policy import RetryPolicy
from rele.worker import NotConnectionError
from tests.support.inbox import Inbox
from tests.unit.management.conftest import InstallApp

Output = Any

SUBS = """
from rele import sub

@sub("photos", suffix="thumbs")
def make_thumbnail(data, **attributes): ...

@sub("orders", prefix="own")
def ship(data, **attributes): ...
"""


COUNTED_SUBS = """
from rele import Subscription
from tests.unit.management import conftest

class Photos(Subscription):
    def __init__(self):
        super().__init__(print, "photos")
        conftest.MADE.put("photos")
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
        printed, output = capsys.readouterr()
        assert printed == ""
        assert output.startswith("Configuring worker with 2 subscription(s)...\n")
        assert "shop-photos-thumbs - make_thumbnail" in output

    def test_loads_the_project_once(
        self, install_app: InstallApp, create_and_run: Mock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The checks that run before show the same."""
        made = Inbox()
        monkeypatch.setattr("tests.unit.management.conftest.MADE", made, raising=False)
        judge = Mock(side_effect=problems_of_settings)
        monkeypatch.setattr("rele.project.loading.problems_of_settings", judge)
        install_app("gallery_app", {"subs.py": COUNTED_SUBS})

        call_command("runrele", skip_checks=False)

        assert made.items == ["photos"]
        judge.assert_called_once_with(settings.RELE)

    def test_says_when_it_pulls(
        self, install_app: InstallApp, create_and_run: Mock, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        create_and_run.side_effect = lambda subs, config, on_start: on_start()

        call_command("runrele")

        assert capsys.readouterr().err.endswith("Pulling messages. Press Ctrl-C to stop.\n")

    @pytest.mark.parametrize(
        ("options", "backend", "beside"),
        [
            (["--relay"], "rele.contrib.outbox.OutboxBackend", ["relaying"]),
            (["--relay"], "rele.backends.console.ConsoleBackend", ["relaying"]),
            ([], "rele.contrib.outbox.OutboxBackend", ["watching"]),
            ([], "rele.backends.console.ConsoleBackend", []),
        ],
    )
    def test_runs_a_relay_or_looks_whether_there_is_one(
        self,
        install_app: InstallApp,
        settings: Any,
        create_and_run: Mock,
        monkeypatch: pytest.MonkeyPatch,
        options: list[str],
        backend: str,
        beside: list[str],
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "rele.contrib.outbox"]
        settings.RELE = {**settings.RELE, "PUBLISHER_BACKEND": backend}
        at_work: list[str] = []
        during: list[str] = []

        for name in ("relaying", "watching"):

            @contextmanager
            def stand_in(
                config: Any, *sizes: int, name: str = name
            ) -> Iterator[Callable[[], None]]:
                yield partial(at_work.append, name)
                at_work.remove(name)

            monkeypatch.setattr(f"rele.contrib.outbox.relaying.beside_worker.{name}", stand_in)

        def run(subs: Any, config: Any, on_start: Callable[[], None]) -> None:
            assert at_work == [], "its subscriptions may not be there yet"
            on_start()
            during.extend(at_work)

        create_and_run.side_effect = run

        call_command("runrele", *options)

        create_and_run.assert_called_once()
        assert (during, at_work) == (beside, [])

    def test_a_relay_needs_the_outbox(self, install_app: InstallApp, create_and_run: Mock) -> None:
        install_app("gallery_app", {"subs.py": SUBS})

        with pytest.raises(CommandError, match=r"Add 'rele\.contrib\.outbox' to INSTALLED_APPS"):
            call_command("runrele", "--relay")

        create_and_run.assert_not_called()

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
        monkeypatch.setitem(
            settings.DATABASES,
            "archive",
            {"ENGINE": "django.db.backends.sqlite3", "CONN_MAX_AGE": max_age},
        )

        call_command("runrele")

        warning, *progress = capsys.readouterr().err.splitlines()
        assert progress[-1].startswith("Using the Pub/Sub project ")
        assert "The database 'archive' has CONN_MAX_AGE" in warning
        create_and_run.assert_called_once()

    @pytest.mark.parametrize("skip_checks", [True, False])
    @pytest.mark.parametrize(
        ("settings_of_rele", "subs", "message"),
        [
            ({"MIDDLEWARE": ["shop.No"]}, SUBS, "RELE['MIDDLEWARE'] names 'shop.No', which cannot"),
            ({"GC_CREDENTIALS_PATH": "no.json"}, SUBS, "is not a file with Google credentials"),
            ({}, "import no_such_module", "The subs module 'gallery_app.subs' cannot be imported"),
            ({}, SUBS.replace('"photos"', '"1"'), "Pub/Sub refuses the topic name '1'"),
        ],
    )
    def test_what_is_wrong_keeps_it_from_starting_and_is_reported_once(
        self,
        install_app: InstallApp,
        settings: Any,
        create_and_run: Mock,
        capsys: Output,
        settings_of_rele: dict[str, Any],
        subs: str,
        message: str,
        skip_checks: bool,
    ) -> None:
        install_app("gallery_app", {"subs.py": subs})
        settings.RELE = {**settings.RELE, **settings_of_rele}

        with pytest.raises(CommandError) as raised:
            call_command("runrele", skip_checks=skip_checks)

        assert message in str(raised.value)
        assert capsys.readouterr().err == ""
        create_and_run.assert_not_called()

    def test_what_may_be_wrong_is_only_a_warning(
        self, install_app: InstallApp, settings: Any, create_and_run: Mock, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {**settings.RELE, "MIDDLEWARES": []}

        call_command("runrele", skip_checks=False)

        assert "(rele.W001) RELE has the unknown setting 'MIDDLEWARES'" in capsys.readouterr().err
        create_and_run.assert_called_once()

    def test_the_help_says_how_it_ends(self, capsys: Output) -> None:
        with pytest.raises(SystemExit):
            Runrele().create_parser("manage.py", "runrele").parse_args(["--help"])

        text = " ".join(capsys.readouterr().out.split())
        assert "then handle messages until SIGINT, SIGTERM, SIGHUP or SIGTSTP." in text
        assert "a second signal ends at once." in text

    def test_does_not_warn_of_connections_that_are_closed(
        self, install_app: InstallApp, create_and_run: Mock, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})

        call_command("runrele")

        assert "CONN_MAX_AGE" not in capsys.readouterr().err

    def test_says_on_the_standard_error_which_project_it_uses(
        self,
        install_app: InstallApp,
        settings: Any,
        create_and_run: Mock,
        capsys: Output,
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {**settings.RELE, "GC_PROJECT_ID": "my-shop"}

        call_command("runrele")

        assert capsys.readouterr().err.endswith(
            "\nUsing the Pub/Sub project my-shop at pubsub.googleapis.com:443.\n"
        )


class TestShowsubscriptions:
    def test_prints_a_table_sorted_by_topic(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {**settings.RELE, "SUB_PREFIX": "shop"}

        call_command("showsubscriptions")

        assert capsys.readouterr().out.splitlines() == [
            "Topic   Subscriber(s)       Sub",
            "------  ------------------  --------------",
            "orders  own-orders          ship",
            "photos  shop-photos-thumbs  make_thumbnail",
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

        assert "own-orders" in capsys.readouterr().out

    DECLARED = """
from rele import sub
from rele.retry_policy import RetryPolicy

def in_spain(attributes): ...
def is_new(attributes): ...

@sub("photos", suffix="thumbs", filter_by=[in_spain, is_new], retry_policy=RetryPolicy(5, 50),
     backend_filter_by="attributes:id")
def make_thumbnail(data, **attributes): ...

@sub("orders", prefix="own")
def ship(data, **attributes): ...
"""

    def test_verbose_adds_filters_retry_policy_and_deadline(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": self.DECLARED})
        settings.RELE = {**settings.RELE, "ACK_DEADLINE": 20}

        call_command("showsubscriptions", "--verbose")

        assert capsys.readouterr().out == textwrap.dedent(
            """\
            own-orders
              Topic         orders
              Sub           gallery_app.subs.ship
              Ack deadline  20 s

            photos-thumbs
              Topic           photos
              Sub             gallery_app.subs.make_thumbnail
              Filters         in_spain, is_new
              Backend filter  attributes:id
              Retry policy    5-50 s
              Ack deadline    20 s
            """
        )

    def test_json_has_every_column(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": self.DECLARED})
        settings.RELE = {**settings.RELE, "DEFAULT_RETRY_POLICY": RetryPolicy(1, 2)}

        call_command("showsubscriptions", "--format", "json")

        orders, photos = json.loads(capsys.readouterr().out)
        assert orders == {
            "topic": "orders",
            "subscription": "own-orders",
            "sub": "gallery_app.subs.ship",
            "function": "ship",
            "filters": [],
            "backend_filter": None,
            "retry_policy": "1-2 s",
            "ack_deadline": 60,
            "dead_letter_policy": None,
            "enable_message_ordering": None,
            "enable_exactly_once_delivery": None,
            "message_retention_duration": None,
            "retain_acked_messages": None,
            "expiration_policy": None,
            "labels": None,
            "codec": None,
            "threads": None,
            "max_messages": None,
            "flow": None,
            "streams": None,
            "max_bytes": None,
            "max_lease_duration": None,
            "batch": None,
        }
        assert photos["filters"] == ["in_spain", "is_new"]
        assert (photos["retry_policy"], photos["backend_filter"]) == ("5-50 s", "attributes:id")

    STATING = """
from datetime import timedelta
from rele import Batch, DeadLetterPolicy, sub

@sub("orders", ack_deadline=99, dead_letter_policy=DeadLetterPolicy(), threads=7,
     message_retention_duration=timedelta(days=1), labels={"team": "shop", "cost": "42"},
     batch=Batch(max_messages=500, max_wait=0.2))
def ship(messages): ...
"""

    def test_verbose_shows_all_other_options_that_code_or_settings_state(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": self.STATING})
        settings.RELE = {
            **settings.RELE,
            "SUBSCRIPTION_DEFAULTS": {"expiration_policy": "never", "threads": 3},
        }

        call_command("showsubscriptions", "--verbose")

        assert capsys.readouterr().out == textwrap.dedent(
            """\
            orders
              Topic                       orders
              Sub                         gallery_app.subs.ship
              Ack deadline                99 s
              Dead letter policy          to orders-dead-letter, after 10 attempts
              Message retention duration  86400 s
              Expiration policy           never
              Labels                      team=shop, cost=42
              Threads                     7
              Batch                       500 messages, or those of 0.2 s
            """
        )

    LONG = """
from rele import sub

def one_of_the_countries_that_are_served(attributes): ...
def is_neither_a_test_nor_a_draft(attributes): ...

@sub("orders", filter_by=[one_of_the_countries_that_are_served, is_neither_a_test_nor_a_draft],
     backend_filter_by='attributes:country AND NOT attributes.kind = "test" AND attributes:id')
def ship(data, **attributes): ...
"""

    def test_verbose_is_readable_in_80_columns(
        self, install_app: InstallApp, monkeypatch: pytest.MonkeyPatch, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": self.LONG})
        monkeypatch.setenv("COLUMNS", "80")

        call_command("showsubscriptions", "--verbose")

        output = capsys.readouterr().out
        assert max(map(len, output.splitlines())) <= 80
        assert '"test" AND' in " ".join(output.split())

    def test_verbose_without_subscriptions_says_so(
        self, install_app: InstallApp, capsys: Output
    ) -> None:
        install_app("gallery_app", {})

        call_command("showsubscriptions", "--verbose")

        assert capsys.readouterr().out == "There are no subscriptions.\n"

    @pytest.mark.parametrize("options", [(), ("--verbose",)])
    def test_colour_sets_off_what_heads_the_rest_where_it_is_asked_for(
        self, install_app: InstallApp, capsys: Output, options: tuple[str, ...]
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})

        call_command("showsubscriptions", *options, force_color=True)
        coloured = capsys.readouterr().out
        call_command("showsubscriptions", *options)
        plain = capsys.readouterr().out

        assert coloured.startswith("\033[1m")
        assert "\033" not in plain
        assert re.sub(r"\033\[\d+m", "", coloured) == plain

    def test_json_has_their_values(self, install_app: InstallApp, capsys: Output) -> None:
        install_app("gallery_app", {"subs.py": self.STATING})

        call_command("showsubscriptions", "--format", "json")

        [orders] = json.loads(capsys.readouterr().out)
        assert orders["ack_deadline"] == 99
        assert orders["dead_letter_policy"] == {
            "dead_letter_topic": "orders-dead-letter",
            "max_delivery_attempts": 10,
        }
        assert orders["message_retention_duration"] == 86400
        assert orders["labels"] == {"team": "shop", "cost": "42"}

    def test_json_without_subscriptions_is_an_empty_list(
        self, install_app: InstallApp, capsys: Output
    ) -> None:
        install_app("gallery_app", {})

        call_command("showsubscriptions", format="json")

        assert json.loads(capsys.readouterr().out) == []

    @pytest.mark.parametrize(
        ("settings_of_rele", "subs", "message"),
        [
            ({"ACK_DEADLINE": 5}, SUBS, "RELE['ACK_DEADLINE'] is out of range"),
            ({}, "import no_such_module", "The subs module 'gallery_app.subs' cannot be imported"),
            ({}, SUBS + SUBS.replace("make", "tear"), "Two subscriptions have the name"),
        ],
    )
    def test_what_is_wrong_is_an_error(
        self,
        install_app: InstallApp,
        settings: Any,
        settings_of_rele: dict[str, Any],
        subs: str,
        message: str,
    ) -> None:
        install_app("gallery_app", {"subs.py": subs})
        settings.RELE = {**settings.RELE, **settings_of_rele}

        with pytest.raises(CommandError, match=re.escape(message)):
            call_command("showsubscriptions")

    def test_a_key_file_that_is_missing_matters_to_a_worker_alone(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {"GC_CREDENTIALS_PATH": "missing.json"}

        call_command("showsubscriptions")

        assert "own-orders" in capsys.readouterr().out

    def test_needs_no_project_and_no_server(
        self, install_app: InstallApp, settings: Any, capsys: Output
    ) -> None:
        install_app("gallery_app", {"subs.py": SUBS})
        settings.RELE = {"CLIENT_OPTIONS": {"api_endpoint": "nowhere.invalid:1"}}

        call_command("showsubscriptions")

        assert "own-orders" in capsys.readouterr().out


class TestShowsubscriptionsAgainstPubSub:
    STEP = "create topic projects/rele/topics/photos"
    OBSTACLE = "cannot change subscription projects/rele/subscriptions/own-orders"

    @pytest.fixture(autouse=True)
    def _app(self, install_app: InstallApp) -> None:
        install_app("gallery_app", {"subs.py": SUBS})

    @pytest.fixture
    def compare(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        """What stands in for the comparison."""
        compare = Mock(return_value=Comparison(Plan()))
        monkeypatch.setattr("rele.project.comparison.compare", compare)
        return compare

    @pytest.fixture
    def bring_about(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Let a plan of these changes be carried out."""

        def returns(*changes: Change) -> None:
            def bring_about(config: Any, subs: Any, tell: Callable[[Change], None]) -> Plan:
                for change in changes:
                    tell(change)
                return Plan(changes)

            monkeypatch.setattr("rele.project.comparison.bring_about", bring_about)

        return returns

    def changes(self) -> tuple[Change, Change]:
        step = Change("create topic", "projects/rele/topics/photos", carry_out=Mock())
        obstacle = Change(
            "cannot change subscription",
            "projects/rele/subscriptions/own-orders",
            (Difference("topic", "a", "b"),),
            advice="Delete it.",
        )
        return step, obstacle

    def test_diff_prints_the_plan_and_exits_with_1(self, compare: Mock, capsys: Output) -> None:
        compare.return_value = Comparison(Plan(self.changes()))

        assert status_of("--diff") == 1

        assert capsys.readouterr().out.splitlines() == [
            self.STEP,
            f"{self.OBSTACLE}: topic a → b",
            "    Delete it.",
        ]
        config, subs = compare.call_args.args
        assert config.gc_project_id == "rele"
        assert {sub.name for sub in subs} == {"photos-thumbs", "own-orders"}

    def test_diff_without_a_plan_says_so_and_exits_with_0(
        self, compare: Mock, capsys: Output
    ) -> None:
        assert status_of("--diff") == 0

        assert capsys.readouterr().out == "Pub/Sub has everything as it is declared.\n"

    def test_orphans_are_listed_and_are_no_plan(self, compare: Mock, capsys: Output) -> None:
        compare.return_value = Comparison(Plan(), ["projects/rele/subscriptions/shop-old"])

        assert status_of("--diff") == 0

        assert capsys.readouterr().out.splitlines()[-1] == (
            "orphan projects/rele/subscriptions/shop-old: no sub declares it; Relé deletes nothing."
        )

    def test_that_orphans_cannot_be_listed_is_reported_and_is_no_plan(
        self, compare: Mock, capsys: Output
    ) -> None:
        compare.return_value = Comparison(Plan(), complaint="refused to list")

        assert status_of("--diff") == 0

        assert capsys.readouterr().err.splitlines()[1:] == ["refused to list"]

    def test_diff_warns_on_the_standard_error_of_what_may_lose_messages(
        self, compare: Mock, capsys: Output
    ) -> None:
        compare.return_value = Comparison(Plan(warnings=("Make sure that it has one.",)))

        assert status_of("--diff") == 0

        assert capsys.readouterr().err.splitlines()[1:] == ["Make sure that it has one."]

    @pytest.mark.parametrize("option", ["--diff", "--apply"])
    def test_says_on_the_standard_error_which_project_it_uses(
        self,
        compare: Mock,
        bring_about: Callable[..., None],
        settings: Any,
        capsys: Output,
        option: str,
    ) -> None:
        compare.return_value = Comparison(Plan())
        bring_about()
        settings.RELE = {**settings.RELE, "GC_PROJECT_ID": "my-shop"}

        status_of(option)

        assert capsys.readouterr().err == (
            "Using the Pub/Sub project my-shop at pubsub.googleapis.com:443.\n"
        )

    def test_diff_lists_the_refusals_after_what_is_known(
        self, compare: Mock, capsys: Output
    ) -> None:
        step, _ = self.changes()
        compare.return_value = Comparison(Plan((step,), (ResourceError("refused to read"),)))

        with pytest.raises(CommandError, match="refused to read"):
            call_command("showsubscriptions", "--diff")

        assert capsys.readouterr().out == f"{self.STEP}\n"

    def test_diff_in_json(self, compare: Mock, capsys: Output) -> None:
        compare.return_value = Comparison(Plan(self.changes()), ["projects/rele/…/shop-old"])

        assert status_of("--diff", "--format", "json") == 1

        printed = json.loads(capsys.readouterr().out)
        assert printed["orphans"] == ["projects/rele/…/shop-old"]
        assert printed["changes"] == [
            {
                "action": "create topic",
                "resource": "projects/rele/topics/photos",
                "differences": [],
                "advice": None,
            },
            {
                "action": "cannot change subscription",
                "resource": "projects/rele/subscriptions/own-orders",
                "differences": [{"option": "topic", "actual": "a", "declared": "b"}],
                "advice": "Delete it.",
            },
        ]

    def test_apply_prints_what_was_done(
        self, bring_about: Callable[..., None], capsys: Output
    ) -> None:
        step, _ = self.changes()
        bring_about(step)

        assert status_of("--apply") == 0

        assert capsys.readouterr().out == f"Done: {self.STEP}\n"

    def test_apply_exits_with_1_where_something_cannot_be_changed(
        self, bring_about: Callable[..., None], capsys: Output
    ) -> None:
        bring_about(*self.changes())

        assert status_of("--apply") == 1

        assert capsys.readouterr().out.splitlines() == [
            f"Done: {self.STEP}",
            f"{self.OBSTACLE}: topic a → b",
            "    Delete it.",
        ]

    def test_apply_in_json(self, bring_about: Callable[..., None], capsys: Output) -> None:
        bring_about(*self.changes())

        assert status_of("--apply", "--format", "json") == 1

        printed = json.loads(capsys.readouterr().out)
        assert [each["action"] for each in printed["done"]] == ["create topic"]
        assert [each["advice"] for each in printed["left"]] == ["Delete it."]

    def test_apply_with_nothing_to_do_says_so(
        self, bring_about: Callable[..., None], capsys: Output
    ) -> None:
        bring_about()

        assert status_of("--apply") == 0

        assert capsys.readouterr().out == "Pub/Sub has everything as it is declared.\n"

    @pytest.mark.parametrize("option", ["--diff", "--apply"])
    @pytest.mark.parametrize("error", [NoProjectError(), NotConnectionError("not at here:1")])
    def test_what_keeps_it_from_looking_is_an_error_of_the_command(
        self, monkeypatch: pytest.MonkeyPatch, option: str, error: Exception
    ) -> None:
        for name in ("compare", "bring_about"):
            monkeypatch.setattr(f"rele.project.comparison.{name}", Mock(side_effect=error))

        with pytest.raises(CommandError) as raised:
            call_command("showsubscriptions", option)

        assert str(raised.value) == str(error)

    def test_it_either_compares_or_applies(self) -> None:
        with pytest.raises(CommandError):
            call_command("showsubscriptions", "--diff", "--apply")


def status_of(*options: str) -> object:
    """The exit status of ``showsubscriptions``."""
    try:
        call_command("showsubscriptions", *options)
    except SystemExit as exit_:
        return exit_.code
    return 0


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
    def test_the_emulator_listens_at_the_given_address(
        self, serve: Mock, options: tuple[str, ...], address: tuple[str, int]
    ) -> None:
        call_command("rele", "emulator", *options)

        assert serve.call_args.args == address

    def test_the_emulator_says_where_it_listens(self, serve: Mock, capsys: Output) -> None:
        def start(host: str, port: int, on_started: Callable[[str], None], **rest: Any) -> int:
            on_started("127.0.0.1:1234")
            return 0

        serve.side_effect = start

        call_command("rele", "emulator")

        _, line = capsys.readouterr().out.splitlines()
        assert line == "export PUBSUB_EMULATOR_HOST=127.0.0.1:1234"

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

    @pytest.mark.parametrize(("option", "is_coloured"), [("--force-color", True), ("-v0", False)])
    def test_the_status_of_the_emulator_has_the_colour_that_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, capsys: Output, option: str, is_coloured: bool
    ) -> None:
        report = {"topics": [{"name": "projects/p/topics/t", "subscriptions": 0}]}
        monkeypatch.setattr(emulator, "ask_status", lambda _: {**report, "subscriptions": []})

        call_command("rele", option, "emulator", "--status")

        assert ("\033[1m" in capsys.readouterr().out) is is_coloured

    def test_an_unknown_subcommand_is_an_error(self) -> None:
        with pytest.raises(CommandError):
            call_command("rele", "no-such-command")

    def test_without_a_subcommand_it_prints_its_help(self, capsys: Output) -> None:
        call_command("rele")

        assert "publish" in capsys.readouterr().out
