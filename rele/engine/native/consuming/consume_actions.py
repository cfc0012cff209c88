"""What the core of a subscription decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.lease_calls import Work
from rele.engine.native.consuming.pull_streams import StreamActions


@dataclass
class Actions:
    """What the driver has to do."""

    work: Work
    """The calls to make, and what they have confirmed."""
    streams: StreamActions
    """The streams to open, to ping and to close."""
    ready: Sequence[Delivery] = ()
    """What is to be handled, in this order."""
    shed: int = 0
    """How many messages were nacked because too many are held behind failed ones of their keys."""
    not_begun: int = 0
    """How many messages were nacked because the subscription is paused."""
