"""Each system check by its id; ``manage.py check`` shows these messages."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from django.core import checks
from django.core.checks import CheckMessage, Error, run_checks

from rele.backends import BaseBackend
from rele.contrib import DjangoDBMiddleware
from rele.dead_letter_policy import DeadLetterPolicy
from rele.middleware import BaseMiddleware
from rele.retry_policy import RetryPolicy
from rele.schema.settings import DEFAULTS, SETTINGS
from tests.support.credentials import UNUSABLE, WITHOUT_PROJECT, write_credentials
from tests.support.distributions import write_metadata

REPOSITORY = Path(__file__).parents[2]

DATABASE_MIDDLEWARE = "rele.contrib.DjangoDBMiddleware"

HANDLER = "from rele import sub\n@sub('photos')\ndef handle(data, **attributes): ...\n"

WRONG_TYPES: dict[str, list[Any]] = {
    "ACK_DEADLINE": ["60", 60.0, True],
    "APP_NAME": [1, ["shop"]],
    "BACKLOG": [1, True],
    "CLIENT_OPTIONS": ["api_endpoint", ["api_endpoint"]],
    "DEFAULT_RETRY_POLICY": [10, (10, 600), SimpleNamespace(minimum_backoff=1)],
    "DECODER_PATH": [None, json.JSONDecoder],
    "ENCODER_PATH": [None, json.JSONEncoder],
    "ENGINE": [None, 1, True],
    "FILTER_SUBS_BY": [1, "shop.filters", [print, None], AsyncMock(), [print, AsyncMock()]],
    "GC_CREDENTIALS_PATH": [1, {}],
    "GC_PROJECT_ID": [1, b"my-project"],
    "GC_STORAGE_REGION": [1, ["europe-west1", None]],
    "HANDLER_LIMIT": ["30", True],
    "LOG_PAYLOADS": [None, 1, "no"],
    "LOG_PAYLOAD_LIMIT": [None, "1000", 1e3],
    "MIDDLEWARE": [None, "rele.contrib.LoggingMiddleware", [BaseMiddleware]],
    "PUBLISHER_BACKEND": [None, BaseBackend],
    "PUBLISHER_BATCHING": [None, 500, [("max_messages", 500)]],
    "PUBLISHER_BLOCKING": [None, 1, "yes"],
    "PUBLISHER_COMPRESSION": ["1000", 1e6, True],
    "PUBLISHER_FORKED": [1, True, ["wait"]],
    "PUBLISHER_LIMITS": [None, 500, [("max_messages", 500)]],
    "PUBLISHER_RETRY_FOR": [None, "600", True],
    "PUBLISHER_TIMEOUT": [None, "3", True],
    "REDACT": ["shop.logs.redact", {}, AsyncMock(), lambda: None],
    "RESOURCES": [None, ["apply"], True],
    "SHUTDOWN_TIMEOUT": [None, "30", True],
    "SUBSCRIPTION_DEFAULTS": [None, ["threads"], "threads"],
    "SUB_PREFIX": [1, ["shop"]],
    "THREADS_PER_SUBSCRIPTION": [None, 2.0, "2", True],
}
OUT_OF_RANGE: dict[str, list[Any]] = {
    "ACK_DEADLINE": [-1, 0, 9, 601],
    "ENGINE": ["", "Rele", "native"],
    "HANDLER_LIMIT": [-1, 0],
    "LOG_PAYLOAD_LIMIT": [-1, 0],
    "PUBLISHER_COMPRESSION": [-1, 0],
    "PUBLISHER_FORKED": ["", "never"],
    "PUBLISHER_RETRY_FOR": [-1, 0, float("nan"), float("inf")],
    "PUBLISHER_TIMEOUT": [-1, 0, float("nan")],
    "RESOURCES": ["", "Apply", "update"],
    "SHUTDOWN_TIMEOUT": [-0.5, 0],
    "THREADS_PER_SUBSCRIPTION": [-1, 0],
}
RIGHT: dict[str, list[Any]] = {
    "ACK_DEADLINE": [None, 10, 600],
    "APP_NAME": [None, "shop"],
    "BACKLOG": [None, "monitoring"],
    "CLIENT_OPTIONS": [None, {}, {"api_endpoint": "localhost:1"}],
    "DEFAULT_RETRY_POLICY": [None, RetryPolicy(0.1, 600)],
    "DECODER_PATH": ["json.JSONDecoder", "json.loads"],
    "ENCODER_PATH": ["django.core.serializers.json.DjangoJSONEncoder"],
    "ENGINE": ["rele", "google"],
    "FILTER_SUBS_BY": [None, callable, [callable, bool], (callable,)],
    "GC_CREDENTIALS_PATH": [None],
    "GC_PROJECT_ID": [None, "my-project"],
    "GC_STORAGE_REGION": [None, ["europe-west1"]],
    "HANDLER_LIMIT": [None, 0.1, 600],
    "LOG_PAYLOADS": [True, False],
    "LOG_PAYLOAD_LIMIT": [1, 10_000_000],
    "MIDDLEWARE": [[DATABASE_MIDDLEWARE], (DATABASE_MIDDLEWARE, f"{__name__}.PlainMiddleware")],
    "PUBLISHER_BACKEND": [f"{__name__}.Backend", *(f"rele.backends.{name}" for name in (
        "pubsub.PubSubBackend", "console.ConsoleBackend", "locmem.LocMemBackend"
    ))],
    "PUBLISHER_BATCHING": [
        {},
        {"max_messages": 1},
        {"max_messages": 1000, "max_bytes": 10_000_000, "max_wait": 60},
    ],
    "PUBLISHER_BLOCKING": [True, False],
    "PUBLISHER_COMPRESSION": [None, 1],
    "PUBLISHER_FORKED": [None, "wait", "background"],
    "PUBLISHER_LIMITS": [{}, {"max_bytes": 1}, {"max_messages": 1, "max_bytes": 2**40}],
    "PUBLISHER_RETRY_FOR": [0.1, 86400],
    "PUBLISHER_TIMEOUT": [0.1, 3],
    "REDACT": [None, str, lambda data: data],
    "RESOURCES": ["apply", "create", "verify", "ignore"],
    "SHUTDOWN_TIMEOUT": [0.1, 30],
    "SUBSCRIPTION_DEFAULTS": [{}, {"threads": 4, "prefix": "shop", "labels": None}],
    "SUB_PREFIX": [None, "shop"],
    "THREADS_PER_SUBSCRIPTION": [1, 50],
}  # fmt: skip


class Backend(BaseBackend):
    """A user's own."""


class PlainMiddleware:
    """A middleware need not be derived from Relé's."""


class OwnDatabaseMiddleware(DjangoDBMiddleware):
    """A user's own."""


def each(values: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name in values for value in values[name]]


Check = Callable[..., list[CheckMessage]]
WriteSubs = Callable[[str], None]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", "DEFAULT_ACK_DEADLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def check(settings: Any) -> Check:
    """Run Relé's checks with ``RELE``; every message says what to write."""
    settings.INSTALLED_APPS = ["rele"]

    def check(rele: Any = None, deploy: bool = False) -> list[CheckMessage]:
        settings.RELE = {"MIDDLEWARE": [DATABASE_MIDDLEWARE]} if rele is None else rele
        messages = run_checks(tags=["rele"], include_deployment_checks=deploy)
        assert all(message.hint and message.id for message in messages)
        return messages

    return check


@pytest.fixture
def write_subs(
    check: Check, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WriteSubs]:
    """Write the subs module of an installed app."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "checked_app"
    package.mkdir()
    (package / "__init__.py").touch()

    def write(code: str) -> None:
        (package / "subs.py").write_text(code)
        settings.INSTALLED_APPS = ["rele", "checked_app"]

    yield write
    for name in ("checked_app", "checked_app.subs"):
        sys.modules.pop(name, None)


@pytest.fixture
def use_databases(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the project have these databases, as far as the checks can see."""

    def use(**databases: dict[str, Any]) -> None:
        monkeypatch.setattr("rele.management.project.settings.DATABASES", databases)

    return use


SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id) for message in messages]


@pytest.mark.parametrize("value", [None, [], "my-project", 3])
def test_e001_rele_is_no_dict(check: Check, settings: Any, value: Any) -> None:
    settings.RELE = value

    [message] = run_checks(tags=["rele"])

    assert message == Error(
        f"RELE must be a dict, not {value!r}.",
        hint="Write RELE = {'GC_PROJECT_ID': 'my-project'}.",
        id="rele.E001",
    )


@pytest.mark.parametrize(("name", "value"), each(WRONG_TYPES))
def test_e002_a_setting_of_the_wrong_type(check: Check, name: str, value: Any) -> None:
    [message] = check({name: value})

    assert (message.id, type(message)) == ("rele.E002", Error)
    assert message.msg == f"RELE[{name!r}] must be {SETTINGS[name].kind.text}, not {value!r}."
    assert str(message.hint).startswith(f"Write {name!r}: ")


@pytest.mark.parametrize(("name", "value"), each(OUT_OF_RANGE))
def test_e003_a_setting_out_of_range(check: Check, name: str, value: Any) -> None:
    [message] = check({name: value})

    assert (message.id, type(message)) == ("rele.E003", Error)
    assert message.msg.startswith(f"RELE[{name!r}] is out of range: it must be ")
    assert message.msg.endswith(f"not {value!r}.")
    assert str(message.hint).startswith(f"Write {name!r}: ")


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("PUBLISHER_BATCHING", "max_messages", "500", "rele.E002"),
        ("PUBLISHER_BATCHING", "max_messages", None, "rele.E002"),
        ("PUBLISHER_BATCHING", "max_messages", 0, "rele.E003"),
        ("PUBLISHER_BATCHING", "max_messages", 1_001, "rele.E003"),
        ("PUBLISHER_BATCHING", "max_bytes", 1e6, "rele.E002"),
        ("PUBLISHER_BATCHING", "max_bytes", -1, "rele.E003"),
        ("PUBLISHER_BATCHING", "max_bytes", 10_000_001, "rele.E003"),
        ("PUBLISHER_BATCHING", "max_wait", True, "rele.E002"),
        ("PUBLISHER_BATCHING", "max_wait", 0, "rele.E003"),
        ("PUBLISHER_BATCHING", "max_wait", float("nan"), "rele.E003"),
        ("PUBLISHER_BATCHING", "max_wait", 60.1, "rele.E003"),
        ("PUBLISHER_LIMITS", "max_messages", 0.5, "rele.E002"),
        ("PUBLISHER_LIMITS", "max_messages", 0, "rele.E003"),
        ("PUBLISHER_LIMITS", "max_bytes", "100 MiB", "rele.E002"),
        ("PUBLISHER_LIMITS", "max_bytes", 0, "rele.E003"),
    ],
)
def test_a_limit_of_the_publisher_that_is_wrong(
    check: Check, name: str, key: str, value: Any, expected: str
) -> None:
    [message] = check({name: {key: value}})

    assert (message.id, type(message)) == (expected, Error)
    assert message.msg.startswith(f"RELE[{name!r}][{key!r}] ")
    assert message.msg.endswith(f"not {value!r}.")
    assert str(message.hint).startswith(f"Write {key!r}: ")


@pytest.mark.parametrize("name", ["PUBLISHER_BATCHING", "PUBLISHER_LIMITS"])
def test_w001_an_unknown_limit_of_the_publisher(check: Check, name: str) -> None:
    [message] = check({name: {"max_message": 10}})

    assert message.id == "rele.W001"
    assert message.msg == f"RELE[{name!r}] has the unknown setting 'max_message'."
    assert str(message.hint).startswith("Did you mean 'max_messages'?")


def test_e003_messages_that_fail_before_they_are_sent(check: Check) -> None:
    [message] = check({"PUBLISHER_BATCHING": {"max_wait": 5}, "PUBLISHER_RETRY_FOR": 5})

    assert message.id == "rele.E003"
    assert message.hint == "Write 'PUBLISHER_RETRY_FOR': 600.0."
    assert message.msg.startswith("RELE['PUBLISHER_RETRY_FOR'] = 5 must be more than the 5 seconds")


@pytest.mark.parametrize("deadline", ["9", "soon"])
def test_e003_an_ack_deadline_of_the_environment(
    check: Check, monkeypatch: pytest.MonkeyPatch, deadline: str
) -> None:
    monkeypatch.setenv("DEFAULT_ACK_DEADLINE", deadline)

    [message] = check()

    assert message.id == "rele.E003"
    assert "DEFAULT_ACK_DEADLINE" in str(message.hint)


@pytest.mark.parametrize("path", ["no_such_module.Thing", "rele.contrib.NoSuchThing", "no path"])
@pytest.mark.parametrize(
    "name", ["MIDDLEWARE", "DECODER_PATH", "ENCODER_PATH", "PUBLISHER_BACKEND"]
)
def test_e004_a_path_that_cannot_be_imported(check: Check, name: str, path: str) -> None:
    [message] = check({name: [path] if name == "MIDDLEWARE" else path})

    assert (message.id, type(message)) == ("rele.E004", Error)
    assert f"RELE[{name!r}] names {path!r}, which cannot be imported: " in message.msg


def test_e004_names_each_middleware_that_is_wrong(check: Check) -> None:
    messages = check({"MIDDLEWARE": ["a_missing.One", DATABASE_MIDDLEWARE, "b_missing.Two"]})

    assert ids(messages) == ["rele.E004"] * 2
    assert ["a_missing.One" in messages[0].msg, "b_missing.Two" in messages[1].msg] == [True] * 2


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("MIDDLEWARE", "rele.config.setup"),
        ("MIDDLEWARE", "rele.contrib"),
        ("DECODER_PATH", "json.decoder.NaN"),
        ("DECODER_PATH", "asyncio.sleep"),
        ("DECODER_PATH", "json.JSONEncoder"),
        ("ENCODER_PATH", "json.dumps"),
        ("ENCODER_PATH", "json.JSONDecoder"),
        ("PUBLISHER_BACKEND", "rele.middleware.BaseMiddleware"),
        ("PUBLISHER_BACKEND", "rele.publish"),
    ],
)
def test_e005_a_path_to_something_of_the_wrong_kind(check: Check, name: str, path: str) -> None:
    [message] = check({name: [path] if name == "MIDDLEWARE" else path})

    assert (message.id, type(message)) == ("rele.E005", Error)
    assert message.msg.startswith(f"RELE[{name!r}] names {path!r}, which is not a ")


def test_e006_two_subs_of_one_name(check: Check, write_subs: WriteSubs) -> None:
    write_subs(f"{HANDLER}@sub('photos')\ndef other(data, **attributes): ...\n")

    [message] = check()

    assert message == Error(
        "Two subscriptions have the name 'photos': checked_app.subs.handle and "
        "checked_app.subs.other. Give one of them a suffix of its own.",
        hint="Write @sub(…, suffix='…').",
        id="rele.E006",
    )


@pytest.mark.parametrize(
    "topic", ["ab", "x" * 256, "1photos", "-photos", "photo uploaded", "photos/new", "googphotos"]
)
def test_e007_a_topic_that_pubsub_would_refuse(
    check: Check, write_subs: WriteSubs, topic: str
) -> None:
    write_subs(HANDLER.replace("'photos'", f"{topic!r}, prefix='shop'"))

    messages = check()

    assert set(ids(messages)) == {"rele.E007"}
    assert type(messages[0]) is Error
    assert messages[0].msg == (
        f"checked_app.subs.handle: Pub/Sub refuses the topic name {topic!r}."
    )


@pytest.mark.parametrize("prefix", ["x" * 249, "1shop", "my shop", "google"])
def test_e007_a_subscription_that_pubsub_would_refuse(
    check: Check, write_subs: WriteSubs, prefix: str
) -> None:
    write_subs(HANDLER)

    [message] = check({"SUB_PREFIX": prefix, "MIDDLEWARE": [DATABASE_MIDDLEWARE]})

    assert message.id == "rele.E007"
    assert message.msg.endswith(f"Pub/Sub refuses the subscription name '{prefix}-photos'.")


@pytest.mark.parametrize("topic", ["abc", "x" * 255, "a-_.~+%9", "Photos"])
def test_names_that_pubsub_takes_are_right(check: Check, write_subs: WriteSubs, topic: str) -> None:
    write_subs(HANDLER.replace("photos", topic))

    assert check() == []


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 600), (20, 10), (10, 601), (-1, 5)])
def test_e008_a_retry_policy_out_of_range(
    check: Check, write_subs: WriteSubs, minimum: int, maximum: int
) -> None:
    policy = f"SimpleNamespace(minimum_backoff={minimum}, maximum_backoff={maximum})"
    write_subs(
        "from types import SimpleNamespace\n"
        + HANDLER.replace("'photos'", f"'photos', retry_policy={policy}")
    )

    default, of_sub = check(
        {
            "MIDDLEWARE": [DATABASE_MIDDLEWARE],
            "DEFAULT_RETRY_POLICY": SimpleNamespace(
                minimum_backoff=minimum, maximum_backoff=maximum
            ),
        }
    )

    assert (default.id, of_sub.id, type(of_sub)) == ("rele.E008", "rele.E008", Error)
    assert default.msg.startswith("RELE['DEFAULT_RETRY_POLICY']: A retry policy needs 0 < ")
    assert of_sub.msg.startswith("checked_app.subs.handle: A retry policy needs 0 < ")
    assert of_sub.msg.endswith(f"minimum_backoff={minimum} and maximum_backoff={maximum}.")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PUBLISHER_TIMOUT", "Did you mean 'PUBLISHER_TIMEOUT'?"),
        ("gc_project_id", "Did you mean 'GC_PROJECT_ID'?"),
        ("MIDDLEWARES", "Did you mean 'MIDDLEWARE'?"),
        (3, "The known ones are 'ACK_DEADLINE', "),
    ],
)
def test_w001_an_unknown_setting(check: Check, name: Any, hint: str) -> None:
    [message] = check({name: "x"})

    assert (message.id, type(message)) == ("rele.W001", checks.Warning)
    assert message.msg == f"RELE has the unknown setting {name!r}."
    assert str(message.hint).startswith(hint)


@pytest.mark.parametrize("content", UNUSABLE)
def test_w002_a_file_without_google_credentials(
    check: Check, tmp_path: Path, content: str | bytes
) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    [message] = check({"GC_CREDENTIALS_PATH": str(path)})

    assert (message.id, type(message)) == ("rele.W002", checks.Warning)
    place = f"RELE['GC_CREDENTIALS_PATH'] = {str(path)!r}"
    assert message.msg.startswith(f"{place} is not a file with Google credentials: ")
    assert re.search(UNUSABLE[content], message.msg)


def test_w002_a_missing_credentials_file(check: Check) -> None:
    [message] = check({"GC_CREDENTIALS_PATH": "missing.json"})

    assert message.id == "rele.W002"
    assert message.msg.endswith("File missing.json was not found.")


def test_w002_a_folder_is_no_credentials_file(check: Check, tmp_path: Path) -> None:
    [message] = check({"GC_CREDENTIALS_PATH": str(tmp_path)})

    assert message.id == "rele.W002"
    assert "Is a directory" in message.msg


@pytest.mark.parametrize("kind", ["service_account", *WITHOUT_PROJECT])
def test_credentials_of_any_type_are_right(check: Check, tmp_path: Path, kind: str) -> None:
    path = write_credentials(tmp_path / "key.json", kind)

    assert check({"GC_CREDENTIALS_PATH": str(path)}) == []


def test_under_the_emulator_no_credentials_are_needed(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")

    assert check({"GC_CREDENTIALS_PATH": "missing.json"}) == []


def test_w003_a_subs_module_that_cannot_be_imported(check: Check, write_subs: WriteSubs) -> None:
    write_subs("import json\nimport no_such_module")

    [message] = check()

    assert (message.id, type(message)) == ("rele.W003", checks.Warning)
    assert re.fullmatch(
        r"The subs module 'checked_app\.subs' cannot be imported: ModuleNotFoundError: No module "
        r"named 'no_such_module' \(.*checked_app/subs\.py, line 2\)\.",
        message.msg,
    )


def test_w004_a_database_without_the_middleware(check: Check, write_subs: WriteSubs) -> None:
    write_subs(HANDLER)

    [message] = check({"MIDDLEWARE": ["rele.contrib.LoggingMiddleware"]})

    assert (message.id, type(message)) == ("rele.W004", checks.Warning)
    assert message.hint == f"Add {DATABASE_MIDDLEWARE!r} to RELE['MIDDLEWARE']."


@pytest.mark.parametrize(
    "path",
    [
        DATABASE_MIDDLEWARE,
        "rele.contrib.django_db_middleware.DjangoDBMiddleware",
        f"{__name__}.OwnDatabaseMiddleware",
    ],
)
def test_the_middleware_may_be_a_subclass_and_have_any_path(
    check: Check, write_subs: WriteSubs, path: str
) -> None:
    write_subs(HANDLER)

    assert check({"MIDDLEWARE": ["rele.contrib.LoggingMiddleware", path]}) == []


@pytest.mark.parametrize("age", [None, 1, 3600])
def test_w005_connections_of_any_database_that_last(
    check: Check, write_subs: WriteSubs, use_databases: Callable[..., None], age: int | None
) -> None:
    write_subs(HANDLER)
    use_databases(default={**SQLITE, "CONN_MAX_AGE": 0}, archive={**SQLITE, "CONN_MAX_AGE": age})

    [message] = check()

    assert (message.id, type(message)) == ("rele.W005", checks.Warning)
    assert message.msg.startswith(f"The database 'archive' has CONN_MAX_AGE = {age!r}: ")


def test_databases_are_fine_without_subs(check: Check, use_databases: Callable[..., None]) -> None:
    use_databases(default={**SQLITE, "CONN_MAX_AGE": 60})

    assert check({"MIDDLEWARE": []}) == []


@pytest.mark.parametrize("default", [{}, {"ENGINE": "django.db.backends.dummy"}])
def test_without_a_database_nothing_is_asked_of_one(
    check: Check,
    write_subs: WriteSubs,
    use_databases: Callable[..., None],
    default: dict[str, Any],
) -> None:
    write_subs(HANDLER)
    use_databases(default=default)

    assert check({"MIDDLEWARE": []}) == []


def test_w006_an_emulator_in_production(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")

    [message] = check(deploy=True)

    assert (message.id, type(message)) == ("rele.W006", checks.Warning)
    assert check(deploy=False) == []


def test_a_deployment_without_the_emulator_is_right(check: Check) -> None:
    assert check(deploy=True) == []


@pytest.mark.parametrize(("name", "value"), each(RIGHT))
def test_right_settings_give_nothing(check: Check, name: str, value: Any) -> None:
    assert check({name: value}) == []


def test_the_defaults_and_no_settings_at_all_are_right(check: Check, settings: Any) -> None:
    assert check(DEFAULTS) == []
    del settings.RELE
    assert run_checks(tags=["rele"]) == []


def test_everything_that_is_wrong_is_reported_at_once(check: Check, write_subs: WriteSubs) -> None:
    write_subs(f"{HANDLER}@sub('1')\ndef other(data, **attributes): ...\n")

    messages = check({"MIDDLEWARE": ["missing.One"], "ENCODER_PATH": "json.dumps", "TYPO": 1})

    assert ids(messages) == [
        *("rele.W001", "rele.E005", "rele.E004"),
        *("rele.E007", "rele.E007", "rele.W004"),
    ]


class TestSubscriptionDefaults:
    @pytest.mark.parametrize(
        ("defaults", "id_", "text"),
        [
            ({"threads": "2"}, "rele.E002", "['threads'] must be a whole number from 1, not '2'"),
            ({"ack_deadline": 5}, "rele.E003", "['ack_deadline'] is out of range"),
            ({"prefix": 1}, "rele.E002", "['prefix'] must be a string"),
            ({"retry_policy": SimpleNamespace(minimum_backoff=0, maximum_backoff=1)}, "rele.E008",
             "['retry_policy']: A retry policy needs"),
            ({"thread": 2}, "rele.W001", "has the unknown setting 'thread'"),
            ({"dead_letter_policy": DeadLetterPolicy(max_delivery_attempts=9)}, "rele.W007",
             "a dead letter after 9 deliveries"),
        ],
    )  # fmt: skip
    def test_are_checked(self, check: Check, defaults: dict[str, Any], id_: str, text: str) -> None:
        [message] = check({"SUBSCRIPTION_DEFAULTS": defaults})

        assert message.id == id_
        assert text in message.msg
        assert "RELE['SUBSCRIPTION_DEFAULTS']" in message.msg

    def test_an_older_name_that_is_none_is_not_stated(self, check: Check) -> None:
        assert check({"SUB_PREFIX": None, "SUBSCRIPTION_DEFAULTS": {"prefix": "shop"}}) == []


@pytest.mark.parametrize(
    ("alias", "key", "value"),
    [
        ("ACK_DEADLINE", "ack_deadline", 60),
        ("DEFAULT_RETRY_POLICY", "retry_policy", RetryPolicy(10, 600)),
        ("THREADS_PER_SUBSCRIPTION", "threads", 2),
        ("SUB_PREFIX", "prefix", "shop"),
        ("FILTER_SUBS_BY", "filter_by", callable),
    ],
)
def test_e009_an_older_name_beside_its_key(check: Check, alias: str, key: str, value: Any) -> None:
    [message] = check({alias: value, "SUBSCRIPTION_DEFAULTS": {key: value}})

    assert message.id == "rele.E009"
    assert f"RELE[{alias!r}]" in message.msg
    assert f"RELE['SUBSCRIPTION_DEFAULTS'][{key!r}]" in message.msg


def test_w007_too_few_attempts_before_the_dead_letter_topic(
    check: Check, write_subs: WriteSubs
) -> None:
    write_subs(
        "from rele import DeadLetterPolicy, sub\n"
        "@sub('photos', dead_letter_policy=DeadLetterPolicy(max_delivery_attempts=5))\n"
        "def handle(data, **attributes): ...\n"
    )

    [message] = check()

    assert message.id == "rele.W007"
    assert "subs.handle: a message becomes a dead letter after 5 deliveries" in message.msg


BATCHES = "from rele import Batch, sub\n@sub('photos', batch=Batch())\ndef handle(messages): ...\n"


def test_w011_batches_on_an_engine_that_gathers_none(check: Check, write_subs: WriteSubs) -> None:
    write_subs(BATCHES)

    [message] = check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "ENGINE": "google"})

    assert (message.id, type(message)) == ("rele.W011", checks.Warning)
    assert message.msg.endswith(": each list has one message for checked_app.subs.handle.")
    assert "RELE['ENGINE'] = 'rele'" in str(message.hint)


def test_batches_on_the_own_engine_are_right(check: Check, write_subs: WriteSubs) -> None:
    write_subs(BATCHES)

    assert check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "ENGINE": "rele"}) == []


ORDERED = HANDLER.replace("'photos'", "'photos', enable_message_ordering=True")
GLOBAL = "pubsub.googleapis.com:443"
REGIONAL = "europe-west1-pubsub.googleapis.com:443"


@pytest.mark.parametrize(
    ("options", "address"),
    [
        (None, GLOBAL),
        ({"api_endpoint": GLOBAL}, GLOBAL),
        ({"api_endpoint": "pubsub.googleapis.com"}, GLOBAL),
        ({"universe_domain": "example.goog"}, "pubsub.example.goog:443"),
    ],
)
def test_w010_message_ordering_at_the_global_endpoint(
    check: Check, write_subs: WriteSubs, options: Any, address: str
) -> None:
    write_subs(ORDERED)

    [message] = check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "CLIENT_OPTIONS": options})

    assert (message.id, type(message)) == ("rele.W010", checks.Warning)
    assert f"the global endpoint, {address}, " in message.msg
    assert message.msg.endswith("With message ordering: checked_app.subs.handle.")
    assert "REGION-pubsub.googleapis.com:443" in str(message.hint)
    assert "1 MB/s" in str(message.hint)


def test_w010_message_ordering_by_default(check: Check, write_subs: WriteSubs) -> None:
    write_subs(HANDLER)

    [message] = check(
        {
            "MIDDLEWARE": [DATABASE_MIDDLEWARE],
            "SUBSCRIPTION_DEFAULTS": {"enable_message_ordering": True},
        }
    )

    assert message.id == "rele.W010"


@pytest.mark.parametrize("endpoint", [REGIONAL, "localhost:8085", "pubsub.googleapis.com:port"])
def test_message_ordering_at_any_other_endpoint_is_right(
    check: Check, write_subs: WriteSubs, endpoint: str
) -> None:
    write_subs(ORDERED)
    options = {"api_endpoint": endpoint}

    assert check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "CLIENT_OPTIONS": options}) == []


def test_message_ordering_under_an_emulator_is_right(
    check: Check, write_subs: WriteSubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_subs(ORDERED)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")

    assert check() == []


@pytest.fixture
def check_outbox(check: Check, settings: Any) -> Callable[..., list[CheckMessage]]:
    """Run the checks with the outbox's app and these settings of it."""
    settings.INSTALLED_APPS = ["rele", "rele.contrib.outbox"]

    def check_outbox(**outbox: Any) -> list[CheckMessage]:
        return check(
            {
                "MIDDLEWARE": [DATABASE_MIDDLEWARE],
                "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
                "OUTBOX": outbox,
            }
        )

    return check_outbox


CheckOutbox = Callable[..., list[CheckMessage]]


def test_w008_a_setting_of_a_room_that_is_not_installed(check: Check) -> None:
    [message] = check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "OUTBOX": {"KEEP_SENT": True}})

    assert (message.id, type(message)) == ("rele.W008", checks.Warning)
    assert message.msg == (
        "RELE has the setting 'OUTBOX' of 'rele.contrib.outbox', which is not installed: the "
        "setting has no effect."
    )
    assert str(message.hint).startswith("Add 'rele.contrib.outbox' to INSTALLED_APPS, and migrate.")


BROKEN_ROOM = """
from rele.project.extensions import Room
from rele.schema.kinds import Kind
from rele.schema.settings import Setting

def fail(settings):
    raise OSError("no disk")

KEY = Setting(Kind("anything", lambda value: True), "what a test says")
TAKES_A_SETTING = Room("broken_room", settings={"APP_NAME": KEY})
TAKES_ONE_OF_A_ROOM = Room("broken_room", settings={"OUTBOX": KEY})
CHECK_FAILS = Room("broken_room", problems=fail)
NO_ROOM = "a string"
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("no_such_module:ROOM", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("{0}:NO_ROOM", "{0}:NO_ROOM is not a rele.project.extensions.Room"),
        ("{0}:TAKES_A_SETTING", "Relé has 'APP_NAME' already"),
        ("{0}:TAKES_ONE_OF_A_ROOM", "rele.contrib.outbox has 'OUTBOX' already"),
        ("{0}:CHECK_FAILS", "its checks failed: OSError: no disk"),
    ],
)
def test_w009_a_room_that_cannot_be_used(
    check: Check,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    text: str,
) -> None:
    settings.INSTALLED_APPS = ["rele", "rele.contrib.outbox"]
    package = f"broken_room_{tmp_path.name}"
    (tmp_path / f"{package}.py").write_text(BROKEN_ROOM)
    write_metadata(tmp_path, package, broken_room=path.format(package))
    monkeypatch.syspath_prepend(tmp_path)

    [message] = check()

    assert (message.id, type(message)) == ("rele.W009", checks.Warning)
    assert message.msg == f"The room 'broken_room' cannot be used: {text.format(package)}."


@pytest.mark.parametrize("value", [None, "default", [("KEEP_SENT", True)]])
def test_e002_a_setting_of_a_room_of_the_wrong_type(
    check: Check, check_outbox: CheckOutbox, value: Any
) -> None:
    [message] = check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "OUTBOX": value})

    assert (message.id, type(message)) == ("rele.E002", Error)
    assert message.msg == (
        f"RELE['OUTBOX'] must be a dict of settings of rele.contrib.outbox, not {value!r}."
    )
    assert message.hint == "Write 'OUTBOX': {'KEEP_SENT': True}."


def test_e010_a_database_that_is_not_there(check_outbox: CheckOutbox) -> None:
    [message] = check_outbox(USING="events")

    assert (message.id, type(message)) == ("rele.E010", Error)
    assert "RELE['OUTBOX']['USING'] names the database 'events'" in message.msg
    assert message.hint == "Write one of 'default'."


@pytest.mark.parametrize(
    "path",
    ["rele.contrib.outbox.OutboxBackend", "rele.contrib.outbox.backend.OutboxBackend"],
)
def test_e011_the_outbox_relayed_to_itself(check_outbox: CheckOutbox, path: str) -> None:
    [message] = check_outbox(BACKEND=path)

    assert (message.id, type(message)) == ("rele.E011", Error)


@pytest.mark.parametrize(
    "path",
    ["rele.contrib.outbox.OutboxBackend", "rele.contrib.outbox.backend.OutboxBackend"],
)
def test_e012_the_outbox_without_its_app(check: Check, path: str) -> None:
    [message] = check({"MIDDLEWARE": [DATABASE_MIDDLEWARE], "PUBLISHER_BACKEND": path})

    assert (message.id, type(message)) == ("rele.E012", Error)
    assert path in message.msg
    assert message.hint == "Add 'rele.contrib.outbox' to INSTALLED_APPS, and migrate."


@pytest.mark.parametrize(
    ("outbox", "id_", "text"),
    [
        ({"KEEP_SENT": 1}, "rele.E002", "['KEEP_SENT'] must be True or False, not 1."),
        ({"USING": [3]}, "rele.E002", "['USING'] must be the alias of a database"),
        ({"BACKEND": None}, "rele.E002", "['BACKEND'] must be the dotted path of a class"),
        ({"MAX_ATTEMPTS": 0}, "rele.E003", "['MAX_ATTEMPTS'] is out of range"),
        ({"LEASE": "30"}, "rele.E002", "['LEASE'] must be a number of seconds from 3 to 600"),
        ({"LEASE": 2.9}, "rele.E003", "['LEASE'] is out of range"),
        ({"LEASE": 601}, "rele.E003", "['LEASE'] is out of range"),
        ({"LEASE": float("nan")}, "rele.E003", "['LEASE'] is out of range"),
        ({"MAX_ATTEMPS": 3}, "rele.W001", "has the unknown setting 'MAX_ATTEMPS'"),
        ({"BACKEND": "no.Backend"}, "rele.E004", "['BACKEND'] names 'no.Backend', which cannot"),
        ({"BACKEND": "json.dumps"}, "rele.E005", "['BACKEND'] names 'json.dumps', which is not"),
    ],
)
def test_the_settings_of_the_outbox_are_checked(
    check_outbox: CheckOutbox, outbox: dict[str, Any], id_: str, text: str
) -> None:
    [message] = check_outbox(**outbox)

    assert message.id == id_
    assert f"RELE['OUTBOX']{text}" in message.msg or f"RELE['OUTBOX'] {text}" in message.msg


@pytest.mark.parametrize(
    "outbox",
    [
        {},
        {"USING": "default", "KEEP_SENT": True, "MAX_ATTEMPTS": 1},
        {"USING": "default", "KEEP_SENT": True, "MAX_ATTEMPTS": 5},
        {"BACKEND": "rele.backends.console.ConsoleBackend"},
        {"BACKEND": f"{__name__}.Backend"},
    ],
)
def test_right_settings_of_the_outbox_give_nothing(
    check_outbox: CheckOutbox, outbox: dict[str, Any]
) -> None:
    assert check_outbox(**outbox) == []


def test_every_setting_is_tried() -> None:
    with_range = {
        name
        for name in SETTINGS
        if any(word in SETTINGS[name].kind.text for word in ("above", " from ", "' or '"))
    }

    assert set(WRONG_TYPES) == set(RIGHT) == set(SETTINGS)
    assert set(OUT_OF_RANGE) == with_range


def ids_in_the_code() -> set[str]:
    sources = (REPOSITORY / "rele").rglob("*.py")
    return {
        found
        for source in sources
        for found in re.findall(r"rele\.[EW]\d{3}", source.read_text(encoding="utf-8"))
    }


def test_every_id_of_the_code_has_a_test_that_is_named_after_it() -> None:
    tested = {
        f"rele.{number.upper()}"
        for source in (REPOSITORY / "tests").rglob("test_*checks.py")
        for number in re.findall(r"def test_([ew]\d{3})_", source.read_text(encoding="utf-8"))
    }

    assert tested == ids_in_the_code()


def test_every_id_of_the_code_has_a_row_in_the_readme() -> None:
    readme = (REPOSITORY / "README.rst").read_text(encoding="utf-8")
    heading = re.search(r"^System checks\n(.)\1+\n", readme, re.MULTILINE)
    assert heading, "the README has no section `System checks`"
    section = re.split(r"^.+\n(?:={4,}|-{4,})\n", readme[heading.end() :], flags=re.MULTILINE)[0]

    rows = re.findall(r"^``(rele\.[EW]\d{3})``", section, re.MULTILINE)

    assert len(rows) == len(set(rows))
    assert set(rows) == ids_in_the_code()
