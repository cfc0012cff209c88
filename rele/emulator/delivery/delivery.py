"""One message on its way through one subscription."""

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.timers import Timed


class Delivery(Timed):
    """A message that was delivered at least once and may be redelivered.

    It is *leased* (due when its ack deadline passes), *delayed* (due when its backoff ends) or
    *ready* (not due). ``attempt`` counts from 1: one more than the times that it was nacked or
    its ack deadline passed. ``lease`` counts its leases. ``consumer`` is the one whose flow
    control the lease counts in. ``acknowledged`` marks a message that its queue keeps because an
    earlier one of its ordering key is not acknowledged.
    """

    __slots__ = ("acknowledged", "attempt", "consumer", "lease", "leased", "message")

    def __init__(self, message: StoredMessage) -> None:
        # Not through super(): one of these is made for every message.
        self.due = None
        self.armed_at = None
        self.message = message
        self.attempt = 1
        self.lease = 0
        self.leased = False
        self.acknowledged = False
        self.consumer: Consumer | None = None
