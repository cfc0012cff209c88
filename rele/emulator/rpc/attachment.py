"""A consumer on the event loop."""

import asyncio
from types import TracebackType

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.consumers import Consumer, FlowControl
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.wire.encoding import encode_pull_response, encode_received_message

MAX_RESPONSE_MESSAGES = 1000
"""The most messages in one response."""

# By default gRPC clients refuse more than 4 MiB; the rest is for the ack ids.
MAX_RESPONSE_BYTES = 3 * 1024 * 1024
"""The most bytes of messages in one response, unless it is a single message."""


class Attachment:
    """Takes messages from a subscription for as long as the ``with`` block lasts.

    Entering raises the reason if the subscription has ended.
    """

    def __init__(self, backlog: Backlog, flow: FlowControl, ack_deadline_seconds: float) -> None:
        self._backlog = backlog
        self._ready = asyncio.Event()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails with the reason when the subscription has ended."""
        self.consumer = Consumer(flow, ack_deadline_seconds, self._ready.set, self._close)

    def __enter__(self) -> "Attachment":
        self._backlog.attach(self.consumer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._backlog.detach(self.consumer)
        self.closed.cancel()

    def take(self, max_messages: int = MAX_RESPONSE_MESSAGES) -> list[Delivery]:
        """Lease what fits into one response; if that is nothing, await ``ready`` and try again.

        Raises the reason if the subscription has ended.
        """
        self._ready.clear()
        limit = min(max_messages, MAX_RESPONSE_MESSAGES)
        return self._backlog.take(self.consumer, limit, MAX_RESPONSE_BYTES)

    async def ready(self) -> None:
        """Wait until a ``take`` may return messages, or ``wake`` is called."""
        await self._ready.wait()
        # A stream that is half closed waits again without a `take` between.
        self._ready.clear()

    def wake(self) -> None:
        """Make ``ready`` return."""
        self._ready.set()

    def release(self, batch: list[Delivery]) -> None:
        """Undo the ``take`` of messages that were never sent."""
        self._backlog.release(self.consumer, batch)

    def encode(self, batch: list[Delivery]) -> bytes:
        """A serialised response with the messages of ``batch``, except damaged ones.

        Raises ``ServiceError`` if they cannot be read back from disk.
        """
        make_ack_id = self._backlog.ack_ids.make
        counted = self._backlog.counts_attempts
        encoded = self._backlog.ledger.encoded([delivery.message for delivery in batch])
        if None in encoded:
            self._backlog.set_aside(
                delivery
                for delivery, message in zip(batch, encoded, strict=True)
                if message is None
            )
        return encode_pull_response(
            encode_received_message(
                make_ack_id(delivery), message, delivery.attempt if counted else 0
            )
            for delivery, message in zip(batch, encoded, strict=True)
            if message is not None
        )

    def _close(self, reason: Exception) -> None:
        if not self.closed.done():
            self.closed.set_exception(reason)
            # Marked as retrieved: a Pull gets the reason from its next `take`.
            self.closed.exception()
        self._ready.set()
