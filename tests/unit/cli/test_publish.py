"""``rele-cli publish``; how it fails is in ``tests/acceptance/test_newcomer_errors.py``."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from rele.backends import BaseBackend, Deferred, Message
from rele.cli import main
from tests.support.backends import HeldBackend
from tests.support.in_use import without_django

Output = Any


class FailingBackend(HeldBackend):
    """Refuses every message."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.outcome = ValueError("no room")


class TimingOutBackend(HeldBackend):
    """Accepts every message, and does not send it in time."""

    address = "pubsub.googleapis.com:443"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.outcome = FutureTimeoutError()


class StoringBackend(BaseBackend):
    """Stores every message for somebody who sends it later."""

    advice = ""

    def __init__(self, config: Any) -> None: ...

    def send(self, messages: Sequence[Message]) -> list[Deferred]:
        return [Deferred("row-1", self.advice) for _ in messages]


class AdvisingBackend(StoringBackend):
    advice = "The night shift sends it."


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder without settings, out of Django's sight."""
    without_django(monkeypatch)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "settings", raising=False)
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("rele")
    handlers = logger.handlers[:]
    yield
    logger.handlers[:] = handlers
    sys.modules.pop("settings", None)


def test_publishes_json_with_attributes_and_prints_the_id(
    rele_messages: list[Message], capsys: Output
) -> None:
    assert main(["publish", "order-paid", '{"id": 42}', "country=ES", "note=a=b"]) == 0

    [message] = rele_messages
    assert message.topic == "order-paid"
    assert message.json() == {"id": 42}
    del message.attributes["published_at"]
    assert message.attributes == {"country": "ES", "note": "a=b"}
    assert capsys.readouterr().out == "1\n"


def test_says_on_the_standard_error_which_project_it_uses(
    rele_messages: list[Message], tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:8085")
    (tmp_path / "settings.py").write_text("RELE = {'GC_PROJECT_ID': 'my-shop'}")

    assert main(["publish", "order-paid", "1"]) == 0

    output = capsys.readouterr()
    assert output.out == "1\n"
    assert output.err == "Using the Pub/Sub project my-shop at 127.0.0.1:8085.\n"


@pytest.mark.parametrize("data", ['"text"', "1.5", "null", "[]", '{"á": "é"}'])
def test_any_json_will_do(rele_messages: list[Message], data: str) -> None:
    assert main(["publish", "order-paid", data]) == 0

    assert len(rele_messages) == 1


def test_a_hyphen_reads_the_standard_input(
    rele_messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"id": 42}\n'))

    assert main(["publish", "order-paid", "-", "country=ES"]) == 0

    assert rele_messages[0].json() == {"id": 42}
    assert rele_messages[0].attributes["country"] == "ES"


def test_an_ordering_key_may_be_given(rele_messages: list[Message]) -> None:
    assert main(["publish", "order-paid", "1", "ordering_key=customer-1"]) == 0

    assert rele_messages[0].ordering_key == "customer-1"


def test_an_attribute_may_have_the_name_of_an_argument(rele_messages: list[Message]) -> None:
    named = dict.fromkeys(("topic", "data", "timeout", "blocking", "self", "retry"), "x")

    assert main(["publish", "order-paid", "1", *(f"{name}=x" for name in named)]) == 0

    assert named.items() <= rele_messages[0].attributes.items()


def test_the_settings_in_the_folder_count(
    rele_messages: list[Message], tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "settings.py").write_text(
        'RELE = {"MIDDLEWARE": ["rele.contrib.LoggingMiddleware"], "APP_NAME": "shop"}'
    )

    with_records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = with_records.append  # type: ignore[method-assign]
    logger = logging.getLogger("rele.contrib.logging_middleware")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        assert main(["publish", "order-paid", "1"]) == 0
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)

    assert [record.metrics["data"]["agent"] for record in with_records] == ["shop"]  # type: ignore[attr-defined]


def test_a_long_text_that_is_no_json_is_shortened(capsys: Output) -> None:
    assert main(["publish", "order-paid", "x" * 5000]) == 1

    error = capsys.readouterr().err
    assert f"not '{'x' * 100}…': Expecting value" in error
    assert len(error) < 300


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("country", "An attribute must be KEY=VALUE, such as country=ES, not 'country'."),
        ("googclient=x", "The attribute 'googclient' begins with `goog`"),
        ("=x", "An attribute's name must not be empty."),
    ],
)
def test_an_attribute_that_is_none_is_an_error(
    rele_messages: list[Message], capsys: Output, attribute: str, message: str
) -> None:
    assert main(["publish", "order-paid", "1", attribute]) == 1

    assert message in capsys.readouterr().err
    assert rele_messages == []


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("FailingBackend", "ValueError: no room"),
        (
            "TimingOutBackend",
            (
                "pubsub.googleapis.com:443 did not accept the message for the topic 'order-paid' "
                "within 0.5 s. It may still arrive: sending continues. Allow more time with "
                "PUBLISHER_TIMEOUT or publish(timeout=…). Check the network, and"
            ),
        ),
    ],
)
def test_a_failure_is_one_line_although_the_middleware_logs_it(
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    message: str,
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    (tmp_path / "settings.py").write_text(
        f'RELE = {{"PUBLISHER_BACKEND": "{__name__}.{backend}", "PUBLISHER_TIMEOUT": 0.5}}'
    )

    assert main(["publish", "order-paid", "1"]) == 1

    output = capsys.readouterr()
    assert output.out == ""
    [line] = output.err.splitlines()
    assert line.startswith(
        f"Error: The message for the topic 'order-paid' was not published: {message}"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("RELE = 3", "RELE must be a dict, not 3."),
        ("RELE = {'PUBLISHER_TIMEOUT': 'long'}", "RELE['PUBLISHER_TIMEOUT'] must be a number"),
        ("RELE = {'ENGINE': 'native'}", "must be 'rele' or 'google', not 'native'"),
        (
            "RELE = {'PUBLISHER_BATCHING': {'max_messages': 1001}}",
            "RELE['PUBLISHER_BATCHING']['max_messages'] is out of range",
        ),
        ("RELE = {'GC_CREDENTIALS_PATH': 'key.json'}", "is not a file with Google credentials"),
        ("RELE = {'MIDDLEWARE': ['rele.contrib.FlaskMiddleware']}", "needs the application"),
        ("1 / 0", "The settings module 'settings' cannot be imported: ZeroDivisionError"),
    ],
)
def test_wrong_settings_are_an_error(
    rele_messages: list[Message],
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    settings: str,
    message: str,
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    (tmp_path / "settings.py").write_text(settings)

    assert main(["publish", "order-paid", "1"]) == 1

    assert message in capsys.readouterr().err
    assert rele_messages == []


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (StoringBackend, f"Stored by {__name__}.StoringBackend, to be sent later.\n"),
        (AdvisingBackend, "The night shift sends it.\n"),
    ],
)
def test_says_that_a_message_is_stored_and_not_sent_yet(
    backend: type, said: str, tmp_path: Path, capsys: Output
) -> None:
    path = f"{__name__}.{backend.__name__}"
    (tmp_path / "settings.py").write_text(f"RELE = {{'PUBLISHER_BACKEND': {path!r}}}")

    assert main(["publish", "order-paid", "1"]) == 0

    output = capsys.readouterr()
    assert (output.out, output.err) == ("row-1\n", said)


def test_manage_py_has_it_too(rele_messages: list[Message], capsys: Output) -> None:
    call_command("rele", "publish", "order-paid", "1", "country=ES")

    assert rele_messages[0].attributes["country"] == "ES"
    assert capsys.readouterr().out == "1\n"
    with pytest.raises(CommandError, match="DATA must be JSON, not 'hello'"):
        call_command("rele", "publish", "order-paid", "hello")
