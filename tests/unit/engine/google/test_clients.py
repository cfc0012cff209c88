from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock, patch

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from rele.endpoint import WITHOUT_PROXY
from rele.engine.google.clients import make_client
from rele.engine.google.transport import Transport
from rele.exceptions import NoCredentialsError
from tests.support.recorder import raising


def test_the_client_is_made_with_the_arguments() -> None:
    client_class = Mock()

    client = make_client(client_class, credentials="credentials", client_options={"a": 1})

    assert client is client_class.return_value
    client_class.assert_called_once_with(credentials="credentials", client_options={"a": 1})


def test_missing_credentials_are_an_error_that_says_how_to_give_them() -> None:
    error = DefaultCredentialsError("no metadata server")  # type: ignore[no-untyped-call]

    with pytest.raises(NoCredentialsError, match=r"GC_CREDENTIALS_PATH.*gcloud auth") as raised:
        make_client(raising(error), credentials=None)

    shown = "".join(traceback.format_exception(raised.value))
    assert "no metadata server" not in shown, "Google's traceback stands above the error"


def test_a_file_of_the_environment_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

    with pytest.raises(NoCredentialsError, match=r"APPLICATION_CREDENTIALS .*: File .* not found"):
        make_client(PublisherClient)


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


@pytest.mark.parametrize(
    ("client_class", "more"),
    [
        (PublisherClient, {}),
        (SubscriberClient, {}),
        (SubscriberClient, {"transport": Transport}),
    ],
)
@pytest.mark.parametrize(
    ("endpoint", "is_local"), [("localhost:8443", True), ("pubsub.example:8443", False)]
)
def test_no_proxy_counts_on_the_way_to_this_machine(
    monkeypatch: pytest.MonkeyPatch,
    client_class: type,
    more: dict[str, Any],
    endpoint: str,
    is_local: bool,
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    base = client_class.get_transport_class("grpc")  # type: ignore[attr-defined]
    with patch.object(
        base, "create_channel", return_value=MagicMock(spec=grpc.Channel)
    ) as create_channel:
        make_client(
            client_class,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": endpoint},
            **more,
        )

    options = create_channel.call_args.kwargs["options"]
    assert (WITHOUT_PROXY in options) is is_local
    assert ("grpc.max_receive_message_length", -1) in options
