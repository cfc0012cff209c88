"""The error of a message whose outcome is not known in time."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError

from rele.backends import BaseBackend
from rele.endpoint import what_to_check
from rele.messages.explaining import with_text

TIMEOUTS = (FutureTimeoutError, TimeoutError)
"""Two names of one class from Python 3.11 on."""


def timeout_error(
    backend: BaseBackend, topic: str, timeout: float, error: BaseException | None = None
) -> BaseException:
    """An error that says that ``backend`` did not accept a message within ``timeout`` seconds.

    Args:
        error: a timeout without a text, which the result is a copy of.
    """
    where, advice = type(backend).__name__, ""
    if backend.address:
        where, advice = backend.address, what_to_check(backend.address)
    text = (
        f"{where} did not accept the message for the topic {topic!r} within {timeout:g} s. It may "
        "still arrive: sending continues. Allow more time with PUBLISHER_TIMEOUT or "
        f"publish(timeout=…). {advice[:1].upper()}{advice[1:]}"
    )
    return with_text(error or FutureTimeoutError(), text.rstrip())
