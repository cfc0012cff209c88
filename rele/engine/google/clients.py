"""Making Google's clients, and explaining missing credentials."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import google.auth
import grpc
from google.auth.environment_vars import CREDENTIALS
from google.auth.exceptions import DefaultCredentialsError

from rele.endpoint import WITHOUT_PROXY, emulator_address, is_loopback, pubsub_address
from rele.exceptions import (
    ConfigurationError,
    NoCredentialsError,
    NoProjectError,
    UnusableCredentialsError,
)


def make_client(client_class: Any, **arguments: Any) -> Any:
    """Make a client of Google's; without ``credentials`` it uses Google's default credentials.

    Raises:
        NoCredentialsError: there are none, or the file that the environment names has none.
        ConfigurationError: the emulator's address in the environment is not an address.
    """
    if isinstance(client_class, type):  # and not a stand-in of a test
        arguments.update(_way_there(client_class, arguments))
    try:
        return client_class(**arguments)
    except DefaultCredentialsError as error:
        raise _no_credentials(error) from None  # the message includes Google's


def _no_credentials(error: DefaultCredentialsError) -> NoCredentialsError:
    """The error for missing credentials, or for an unusable file that the environment names.

    If the environment names a file, Google's libraries try nothing else.
    """
    if not os.environ.get(CREDENTIALS):
        return NoCredentialsError()
    return UnusableCredentialsError(str(error.args[0] if error.args else error))


def no_project() -> ConfigurationError:
    """The error if no project is known, or the error of the environment's unusable key file."""
    if os.environ.get(CREDENTIALS) and not emulator_address():
        try:
            google.auth.default()
        except DefaultCredentialsError as error:
            return _no_credentials(error)
    return NoProjectError()


def _way_there(client_class: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for an address that must be reached without a proxy, such as an emulator."""
    transport_class = arguments.get("transport") or client_class.get_transport_class("grpc")
    if address := emulator_address():
        connect = getattr(transport_class, "insecure_channel", grpc.insecure_channel)
        channel = connect(address, _emulator_options(transport_class))
        transport = transport_class(host=address, channel=channel)
        return {"transport": transport, "credentials": None}
    if is_loopback(pubsub_address(arguments.get("client_options"))):
        return {"transport": partial(transport_class, channel=partial(_connect, transport_class))}
    return {}


def _emulator_options(transport_class: Any) -> list[tuple[str, Any]]:
    """The channel options for messages of any size, as the client has them for the service.

    For an emulator the client (google-cloud-pubsub 2.44) uses gRPC's limit of 4 MiB: a larger
    message ends the stream, which is reopened again and again, and nothing is logged.
    """
    if own_options := getattr(transport_class, "own_channel_options", None):
        return [*own_options(), WITHOUT_PROXY]
    return [("grpc.max_receive_message_length", -1), WITHOUT_PROXY]


def _connect(
    transport_class: Any, host: str, *, options: Iterable[Any] = (), **arguments: Any
) -> Any:
    options = [*options, WITHOUT_PROXY]
    return transport_class.create_channel(host, options=options, **arguments)
