"""Asking a running server what it has."""

import json
from typing import Any

import grpc

from rele.emulator.exceptions import StatusError
from rele.emulator.status.report import METHOD, Report

_OPTIONS = [("grpc.enable_http_proxy", 0)]
"""A proxy named in the environment is for other hosts."""


def ask_status(address: str, timeout: float = 5.0) -> Report:
    """The report of the server at ``address`` (``HOST:PORT``).

    Raises ``StatusError`` if no server answers within ``timeout`` seconds, or another kind of
    server does.
    """
    with grpc.insecure_channel(address, _OPTIONS) as channel:
        try:
            # Without serialisers: bytes in both directions, which the type stubs do not know.
            method: Any = channel.unary_unary(METHOD)
            answer = method(b"", timeout=timeout)
        except grpc.RpcError as error:
            raise StatusError(_explain(address, error)) from error
    report: Report = json.loads(answer)
    return report


def _explain(address: str, error: grpc.RpcError) -> str:
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"The server at {address} is not Relé's Pub/Sub server: it has no status to report."
    return (
        f"No Pub/Sub server answers at {address}: start `rele-cli emulator`, or name the address "
        "of a running one with --host-port or PUBSUB_EMULATOR_HOST."
    )
