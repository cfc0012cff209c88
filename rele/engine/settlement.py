"""Noticing what became of a message: acknowledged, given back, or dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

_SETTLING_METHODS = ("ack", "nack", "drop", "ack_with_response", "nack_with_response")

_WITH_RESPONSE = {"ack": "ack_with_response"}


class Settlement:
    """Whether a message is settled, and how: the name of the method that did it."""

    def __init__(self) -> None:
        self.method: str | None = None
        self._result: Any = None

    @property
    def is_settled(self) -> bool:
        """Whether one of the settling methods was called."""
        return self.method is not None

    @property
    def response(self) -> Any:
        """The future of Pub/Sub's answer to an ack; ``None`` where none was asked for."""
        return self._result if self.method in ("ack", "ack_with_response") else None

    def watch(self, name: str, settle: Callable[[], Any]) -> Callable[[], Any]:
        """Wrap the method ``settle`` of that name: the first of all calls counts, others do not."""

        def settle_once() -> Any:
            if self.method is None:
                self._result = settle()
                self.method = name
            else:
                logger.debug("%s was called on a message after %s.", name, self.method)
            return self._result

        return settle_once


@contextmanager
def settled_once(message: Any, *, with_response: bool = False) -> Iterator[Settlement]:
    """Within the block, let ``message`` be settled only once, and notice it.

    With ``with_response`` its ``ack`` is ``ack_with_response``, whoever calls it, and the
    settlement has the response.

    Google's message has no flag that tells, so its methods are shadowed on the instance. They
    are put back afterwards: who keeps the message sees it as it came.
    """
    settlement = Settlement()
    namespace = vars(message)
    methods = {name: getattr(message, name) for name in _SETTLING_METHODS if hasattr(message, name)}
    before = {name: namespace[name] for name in _SETTLING_METHODS if name in namespace}
    for name in methods:
        method = _WITH_RESPONSE.get(name, name) if with_response else name
        namespace[name] = settlement.watch(name, methods[method])
    try:
        yield settlement
    finally:
        for name in _SETTLING_METHODS:
            namespace.pop(name, None)
        namespace.update(before)
