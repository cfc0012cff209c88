"""What observers learn of a consumer's responses and requests: only where there are any."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rele.engine.native.consuming.lease_calls import Call
from rele.status.observers import OBSERVERS, SettlementKind, SettlementRequest

_KINDS: Mapping[str, SettlementKind] = {"ack": "ack", "nack": "nack"}


def note_settlement(
    path: str, call: Call, seconds: float, error: str | None, refused: Mapping[str, str]
) -> None:
    """Note the end of ``call``, which was begun ``seconds`` ago."""
    OBSERVERS.note_settlement_request(
        SettlementRequest(
            path,
            _KINDS.get(call.purpose, "modack"),
            call.deliveries,
            time.time() - seconds,
            seconds,
            error or next(iter(refused.values()), None),
            None if call.purpose == "ack" else call.seconds,
        )
    )
