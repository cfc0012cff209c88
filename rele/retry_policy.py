"""How long Pub/Sub waits before it delivers a failed message again."""

from __future__ import annotations

from dataclasses import dataclass

_MAXIMUM_SECONDS = 600


@dataclass(frozen=True)
class RetryPolicy:
    """The pause between two deliveries of a message, growing from minimum to maximum.

    Both are seconds, ``0 < minimum_backoff <= maximum_backoff <= 600``: the service's own limits
    (RetryPolicy in the Pub/Sub API reference).

    Raises:
        ValueError: a value is out of that range.
    """

    minimum_backoff: float
    maximum_backoff: float

    def __post_init__(self) -> None:
        if not 0 < self.minimum_backoff <= self.maximum_backoff <= _MAXIMUM_SECONDS:
            raise ValueError(
                "A retry policy needs 0 < minimum_backoff <= maximum_backoff <= "
                f"{_MAXIMUM_SECONDS} seconds, not minimum_backoff={self.minimum_backoff!r} and "
                f"maximum_backoff={self.maximum_backoff!r}."
            )
