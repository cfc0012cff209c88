"""What those wait for who have asked for Pub/Sub's answer to a settlement."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from rele.engine.native.consuming.acknowledgements import AcknowledgeStatus, acknowledge_error
from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.lease_calls import Confirmed


class Responses:
    """The futures of the answers for one subscription. It is false while there are none."""

    def __init__(self) -> None:
        self._futures: dict[tuple[Delivery, Settled], Future[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._futures)

    def to(self, delivery: Delivery, settled: Settled) -> Future[Any]:
        """From any thread: the future of the answer."""
        return self._futures.setdefault((delivery, settled), Future())

    def confirm(self, confirmed: Confirmed) -> None:
        """In the loop: note an answer, for which somebody may wait."""
        settled = confirmed.settled or confirmed.delivery.settled
        if settled is None:
            return
        response = self._futures.pop((confirmed.delivery, settled), None)
        if response is None or response.done():
            return
        if confirmed.error is None:
            response.set_result(AcknowledgeStatus.SUCCESS)
        else:
            response.set_exception(acknowledge_error(confirmed.error))
