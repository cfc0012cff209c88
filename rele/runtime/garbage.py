"""Python's garbage collector, in a process that only consumes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 10_000
"""How many objects more than before start a collection."""

_DEFAULTS = (700, 2000)
"""Python's own, until 3.11 and since: another one was set by the project, and stays."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Within the block, let the collector run less often, and not look at what was loaded before.

    It looks for cycles among all objects that are alive, again and again. Hundreds of outstanding
    messages are alive for so short a time that this takes a third of the time of a fast handler.
    What a handler leaves behind is found nevertheless, a few thousand objects later.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    if thresholds[0] in _DEFAULTS:
        gc.set_threshold(THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
