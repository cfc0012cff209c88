"""Making Google's clients, and reading what they identify themselves by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import google.auth
import grpc
from google.auth.environment_vars import CREDENTIALS
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2 import service_account

from rele.endpoint import WITHOUT_PROXY, emulator_address, is_loopback, pubsub_address
from rele.engine.google.transport import Transport, channel_options
from rele.exceptions import (
    ConfigurationError,
    NoCredentialsError,
    NoProjectError,
    UnusableCredentialsError,
)


def make_client(client_class: Any, **arguments: Any) -> Any:
    """Make a client of Google's; without ``credentials`` it looks for its default ones.

    Raises:
        NoCredentialsError: it finds none, or the environment names a file that has none.
        ConfigurationError: the environment names an emulator by something that is no address.
    """
    if isinstance(client_class, type):  # and nothing that a test has put in its place
        arguments.update(_way_there(client_class, arguments))
    try:
        return client_class(**arguments)
    except DefaultCredentialsError as error:
        raise _no_credentials(error) from None  # the message has all that Google's says


def _no_credentials(error: DefaultCredentialsError) -> NoCredentialsError:
    """Google looks nowhere else where the environment names a file."""
    if not os.environ.get(CREDENTIALS):
        return NoCredentialsError()
    return UnusableCredentialsError(str(error.args[0] if error.args else error))


def no_project() -> ConfigurationError:
    """The error where no project is known: of the environment's key file, if it is unusable."""
    if os.environ.get(CREDENTIALS) and not emulator_address():
        try:
            google.auth.default()
        except DefaultCredentialsError as error:
            return _no_credentials(error)
    return NoProjectError()


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


def _way_there(client_class: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by which the client reaches what no proxy may stand before."""
    transport_class = arguments.get("transport") or client_class.get_transport_class("grpc")
    if address := emulator_address():
        channel = grpc.insecure_channel(address, _emulator_options(transport_class))
        transport = transport_class(host=address, channel=channel)
        return {"transport": transport, "credentials": None}
    if is_loopback(pubsub_address(arguments.get("client_options"))):
        return {"transport": partial(transport_class, channel=partial(_connect, transport_class))}
    return {}


def _emulator_options(transport_class: Any) -> list[tuple[str, Any]]:
    """Those by which messages of any size are taken, as from the service.

    The channel that the client (seen in 2.44) makes to an emulator takes 4 MiB, gRPC's default:
    on a larger message the stream ends and is reopened, for ever, and nothing is logged.
    """
    if issubclass(transport_class, Transport):
        return [*channel_options(transport_class.times), WITHOUT_PROXY]
    return [("grpc.max_receive_message_length", -1), WITHOUT_PROXY]


def _connect(
    transport_class: Any, host: str, *, options: Iterable[Any] = (), **arguments: Any
) -> Any:
    options = [*options, WITHOUT_PROXY]
    return transport_class.create_channel(host, options=options, **arguments)
