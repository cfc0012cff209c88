"""Asking a running server what it has."""

import json
from typing import Any

import grpc

from rele.emulator.exceptions import StatusError
from rele.emulator.status.report import METHOD, Report

_OPTIONS = [("grpc.enable_http_proxy", 0)]
"""A proxy that the environment names is for other hosts."""


def ask_status(address: str, timeout: float = 5.0) -> Report:
    """The report of the server at ``address`` (``HOST:PORT``).

    Raises ``StatusError`` if nobody answers within ``timeout`` seconds, or it is another server.
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
        return f"What answers at {address} is not Relé's Pub/Sub server: it knows of no status."
    return (
        f"No Pub/Sub server answers at {address}: start `rele-cli emulator`, or name the address "
        "of a running one with --host-port or PUBSUB_EMULATOR_HOST."
    )
