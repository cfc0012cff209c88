from __future__ import annotations

from typing import Any

import pytest

from rele.messages.payload_view import PayloadView


def without_names(data: Any) -> Any:
    return {**data, "name": "?"} if isinstance(data, dict) else data


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{"id": 1}', '{"id": 1}'),
        (b'{"id": 1, "password": "x"}', '{"id": 1, "password": "***"}'),
        (b"\xff", r"b'\xff'"),
        ("é".encode(), "é"),
        (b"x" * 25, "xxxxxxxxxxxxxxxxxxxx… (5 characters more)"),
        (b"x" * 1_000_000, "xxxxxxxxxxxxxxxxxxxx… (1,000,000 bytes in all)"),
    ],
)
def test_a_payload_is_redacted_and_cut(payload: bytes, shown: str) -> None:
    view = PayloadView(limit=len('{"id": 1, "password": "***"}') if b"id" in payload else 20)

    assert view.payload(payload) == shown


def test_a_secret_is_hidden_before_the_payload_is_cut() -> None:
    payload = b'{"text": "%s", "password": "hunter2"}' % (b"x" * 100_000)

    assert "hunter2" not in PayloadView(limit=100_030).payload(payload)


def test_a_function_of_the_project_gets_the_data() -> None:
    view = PayloadView(without_names)

    assert view.payload(b'{"id": 1, "name": "Ana"}') == '{"id": 1, "name": "?"}'
    assert view.attributes({"name": "Ana"}) == {"name": "?"}
    assert view.payload(b"text") == "text"


def test_what_it_fails_on_is_not_shown_and_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0

    def fail(data: Any) -> Any:
        raise ValueError

    view = PayloadView(fail, now=lambda: now)
    assert {view.payload(b'{"id": 1}') for _ in range(3)} == {"(hidden: RELE['REDACT'] failed)"}
    assert view.attributes({"a": "1"}) == {"": "(hidden: RELE['REDACT'] failed)"}
    assert len(caplog.records) == 1
    now = 60.0
    view.payload(b"")
    assert len(caplog.records) == 2


def test_without_payloads_there_is_a_fingerprint() -> None:
    view = PayloadView(shows_payloads=False)

    assert view.payload(b"secret").startswith("6 bytes, SHA-256 2bb80d53")


def test_attributes_without_a_secret_are_not_copied() -> None:
    attributes = {"country": "ES"}

    assert PayloadView().attributes(attributes) is attributes
    assert PayloadView().attributes({"api_key": "x"}) == {"api_key": "***"}
