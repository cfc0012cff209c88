from __future__ import annotations

from unittest.mock import Mock

import pytest
from google.auth.exceptions import DefaultCredentialsError

from rele.engine.google.clients import make_client
from rele.exceptions import NoCredentialsError
from tests.unit.conftest import raising


def test_the_client_is_made_with_the_arguments() -> None:
    client_class = Mock()

    client = make_client(client_class, credentials="credentials", client_options={"a": 1})

    assert client is client_class.return_value
    client_class.assert_called_once_with(credentials="credentials", client_options={"a": 1})


def test_missing_credentials_are_an_error_that_says_how_to_give_them() -> None:
    error = DefaultCredentialsError("no metadata server")  # type: ignore[no-untyped-call]

    with pytest.raises(NoCredentialsError, match=r"GC_CREDENTIALS_PATH.*gcloud auth") as raised:
        make_client(raising(error), credentials=None)

    assert raised.value.__cause__ is error


def test_any_other_error_is_the_clients_own() -> None:
    with pytest.raises(ValueError, match="no such option"):
        make_client(raising(ValueError("no such option")))


def test_under_the_emulator_a_stand_in_is_made_with_the_same_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    client_class = Mock()

    make_client(client_class, credentials=None, client_options=None)

    client_class.assert_called_once_with(credentials=None, client_options=None)
