from __future__ import annotations

import json
import time
from typing import Any

import pytest

from rele.messages.redaction import hide_secrets, is_secret


@pytest.mark.parametrize(
    "name",
    [
        *("password", "PASSWORD", "db_password", "userPassword", "passwd", "passphrase", "pwd"),
        *("secret", "client-secret", "clientSecret", "token", "accessToken", "csrf_token"),
        *("api_key", "apiKey", "X-API-Key", "private_key", "Authorization", "auth", "Cookie"),
        *("set-cookie", "credentials", "signature", "session_id", "pin", "cardPin", "cvv", "jwt"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("id", "event_id", "published_at", "shipping", "spinach", "author", "country", "key"),
        *("ordering_key", "passenger", "compass", "session", "keyboard", "", "monkey"),
    ],
)
def test_other_names(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"id": 1, "password": "x"}, {"id": 1, "password": "***"}),
        ({"user": {"apiKey": ["x"]}}, {"user": {"apiKey": "***"}}),
        ([{"token": None}, ({"pin": 1},)], [{"token": "***"}, [{"pin": "***"}]]),
        ({"raw": '{"password": "x", "id": 1}'}, {"raw": '{"password": "***", "id": 1}'}),
        ("user=ana&password=x&id=1", "user=ana&password=***&id=1"),
        ("Authorization: Bearer abc.def, id: 1", "Authorization: ***, id: 1"),
        ('"password": "a \\" b", "id": 1', '"password": ***, "id": 1'),
        ("{'id': 1, 'password': 'x'}", "{'id': 1, 'password': ***}"),
        ('{"credentials": {"user": "ana"}, "cut', '{"credentials": ***'),
        ("postgres://ana:x@db/shop", "postgres://***@db/shop"),
        ('{\\"secret\\": \\"x\\"}', '{\\"secret\\": ***}'),
        (b'{"secret": "x"}', b'{"secret": "***"}'),
        (b"\xff password=x", b"\xff password=x"),
        ("nothing: here", "nothing: here"),
        (17, 17),
        (None, None),
    ],
    ids=repr,
)
def test_what_is_hidden(data: Any, shown: Any) -> None:
    assert hide_secrets(data) == shown


def test_text_in_which_nothing_is_hidden_stays_as_it_is() -> None:
    text = '{ "id":1.50,   "x": [] }'

    assert hide_secrets(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a.b-" * 250_000,
        "a:{" * 300_000,
        '"' * 1_000_000,
        "password=" + '"\\' * 500_000,
        "[" * 60_000,
        "x " * 500_000,
        "://" + "a" * 1_000_000,
        "://a:" * 200_000,
    ],
    ids=lambda text: text[:10],
)
def test_no_text_takes_long(text: str) -> None:
    before = time.process_time()

    hide_secrets(text)

    assert time.process_time() - before < 5


def test_data_that_is_nested_deep_in_a_text_is_searched_as_text() -> None:
    text = '{"a": ' * 5000 + '{"password": "x"}'

    assert '"x"' not in hide_secrets(text)
    assert json.loads(hide_secrets('{"a": {"password": "x"}}')) == {"a": {"password": "***"}}
