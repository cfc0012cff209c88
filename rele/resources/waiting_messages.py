"""What waits in one subscription, read and settled by single calls instead of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from google.api_core import exceptions

from rele.exceptions import ResourceError
from rele.resources.parallel_calls import (
    ACKNOWLEDGE_IN,
    LEASE_IN,
    PULL_FROM,
    READ_SUBSCRIPTION,
    UnansweredError,
    explained,
)

IDS_IN_A_REQUEST = 1000
"""A request has at most 512 KiB ("Quotas and limits"), and an ack id some 200 bytes."""

CALL_TIMEOUT = 30.0
"""Seconds for a call, its retries included."""

_ANSWERS_WITHIN = 10.0
"""Seconds."""


class WaitingMessages:
    """The messages of a subscription.

    Each method raises ResourceError if Pub/Sub refuses or does not answer.

    Args:
        subscriber: Google's subscriber client.
        path: of the subscription.
    """

    def __init__(self, subscriber: Any, path: str) -> None:
        self._subscriber = subscriber
        self.path = path

    def pull(self, most: int, seconds: float) -> Sequence[Any]:
        """Lease up to ``most`` messages, and return Google's ReceivedMessage of each.

        Args:
            most: up to 1000.
            seconds: how long to wait for the first; without one the result is empty.
        """
        request = {"subscription": self.path, "max_messages": most}
        try:
            with explained(PULL_FROM, self.path, exceptions.DeadlineExceeded):
                response = self._subscriber.pull(request=request, timeout=seconds)
        except exceptions.DeadlineExceeded:
            return ()
        received: Sequence[Any] = response.received_messages
        return received

    def require_answer(self) -> None:
        """Make sure that Pub/Sub answers: a connection may be lost without a word.

        Else nobody knows whether anything waits. A refusal is an answer, too.
        """
        try:
            with explained(READ_SUBSCRIPTION, self.path):
                self._subscriber.get_subscription(
                    request={"subscription": self.path}, retry=None, timeout=_ANSWERS_WITHIN
                )
        except UnansweredError:
            raise
        except ResourceError:
            return

    def ack(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge these deliveries."""
        for some in _in_requests(ack_ids):
            with explained(ACKNOWLEDGE_IN, self.path):
                self._subscriber.acknowledge(
                    request={"subscription": self.path, "ack_ids": some}, timeout=CALL_TIMEOUT
                )

    def lease(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Lease these deliveries for ``seconds`` from now; 0 nacks them."""
        for some in _in_requests(ack_ids):
            with explained(LEASE_IN, self.path):
                self._subscriber.modify_ack_deadline(
                    request={
                        "subscription": self.path,
                        "ack_ids": some,
                        "ack_deadline_seconds": seconds,
                    },
                    timeout=CALL_TIMEOUT,
                )


def _in_requests(ack_ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ack_ids), IDS_IN_A_REQUEST):
        yield list(ack_ids[start : start + IDS_IN_A_REQUEST])
