"""Making Google's clients, and reading what they identify themselves by."""

from __future__ import annotations

import os
from typing import Any

import grpc
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2 import service_account
from google.pubsub_v1 import SubscriberClient

from rele.exceptions import NoCredentialsError


def make_client(client_class: Any, **arguments: Any) -> Any:
    """Make a client of Google's; without ``credentials`` it looks for its default ones.

    Raises:
        NoCredentialsError: it finds none.
    """
    address = os.environ.get("PUBSUB_EMULATOR_HOST")
    if address and "transport" not in arguments and _receives_messages(client_class):
        arguments["transport"] = _transport_to_emulator(client_class, address)
    try:
        return client_class(**arguments)
    except DefaultCredentialsError as error:
        raise NoCredentialsError from error


def read_key_file(path: str | None) -> Any:
    """The credentials in the key file of a service account.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a file.
    """
    from_file: Any = service_account.Credentials.from_service_account_file
    try:
        return from_file(path)
    except AttributeError as error:  # JSON, but no object
        raise ValueError("it is no JSON object") from error


def _receives_messages(client_class: Any) -> bool:
    return isinstance(client_class, type) and issubclass(client_class, SubscriberClient)


def _transport_to_emulator(client_class: Any, address: str) -> Any:
    """A transport that takes messages of any size, as the one to the service does.

    The channel that the client (seen in 2.44) makes to an emulator takes 4 MiB, gRPC's default:
    on a larger message the stream ends and is opened again, without end and without a word.
    """
    channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
    return client_class.get_transport_class("grpc")(channel=channel)
