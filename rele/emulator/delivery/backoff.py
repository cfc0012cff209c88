"""How long a message whose delivery failed waits before it is redelivered."""

from dataclasses import dataclass

# A doubling needs something to double where the minimum is zero.
_SMALLEST_GROWING_SECONDS = 0.1

# 600 s are reached from the smallest step in 13 doublings; more would overflow a float.
_MOST_DOUBLINGS = 16


@dataclass(slots=True, frozen=True)
class Backoff:
    """An exponential delay in seconds: the minimum first, doubled each time up to the maximum."""

    minimum: float
    maximum: float

    def delay(self, failures: int) -> float:
        """The seconds to wait after a message's ``failures``-th failure, counted from 1."""
        if failures <= 1:
            return self.minimum
        doublings = min(failures - 1, _MOST_DOUBLINGS)
        first = max(self.minimum, _SMALLEST_GROWING_SECONDS)
        return min(self.maximum, first * 2.0**doublings)


NO_BACKOFF = Backoff(0.0, 0.0)
"""A subscription without a RetryPolicy: redelivery at once."""
