"""How long Pub/Sub waits before it redelivers a failed message."""

from __future__ import annotations

from dataclasses import dataclass

MAXIMUM_SECONDS = 600


@dataclass(frozen=True)
class RetryPolicy:
    """How long Pub/Sub waits before each redelivery of a message, from minimum to maximum.

    Both are in seconds; Pub/Sub requires ``0 < minimum_backoff <= maximum_backoff <= 600``
    (RetryPolicy in the Pub/Sub API reference).

    Raises:
        ValueError: a value is out of that range.
    """

    minimum_backoff: float
    maximum_backoff: float

    def __post_init__(self) -> None:
        if complaint := out_of_range(self):
            raise ValueError(complaint)


def out_of_range(policy: RetryPolicy) -> str | None:
    """A sentence that says why Pub/Sub would refuse ``policy``, or ``None`` if it would not.

    ``policy`` may be any object that has both attributes.
    """
    minimum, maximum = policy.minimum_backoff, policy.maximum_backoff
    if 0 < minimum <= maximum <= MAXIMUM_SECONDS:
        return None
    return (
        "A retry policy needs 0 < minimum_backoff <= maximum_backoff <= "
        f"{MAXIMUM_SECONDS} seconds, not minimum_backoff={minimum!r} and "
        f"maximum_backoff={maximum!r}."
    )
