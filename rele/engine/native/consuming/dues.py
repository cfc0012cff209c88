"""When something is due next. No clock, no thread."""

from __future__ import annotations


def earliest(*times: float | None) -> float | None:
    """The first of ``times``; ``None``, which stands for never, if all are."""
    first: float | None = None
    for at in times:
        if at is not None and (first is None or at < first):
            first = at
    return first
