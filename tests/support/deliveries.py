"""Received messages, on Google's own."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage

from rele.engine.base import as_message


class Delivery:
    """One received message, as an engine hands it over, and what was asked for it."""

    def __init__(
        self,
        data: bytes,
        attributes: dict[str, str],
        ordering_key: str = "",
        *,
        number: int = 1,
        attempt: int = 0,
    ) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        content = pubsub_v1.types.PubsubMessage(
            data=data,
            attributes=attributes,
            ordering_key=ordering_key,
            message_id=f"message-{number}",
        )
        self.google_message = GoogleMessage(
            content._pb,
            ack_id=f"ack-{number}",
            delivery_attempt=attempt,
            request_queue=self._requests,
        )
        self.message = as_message(self.google_message)

    def wait_for_request(self) -> Any:
        """The next request to the server; fails where none comes."""
        return self._requests.get(timeout=10)

    def requests(self) -> list[Any]:
        """Google's requests to the server since the last look."""
        requests = []
        while not self._requests.empty():
            requests.append(self._requests.get())
        return requests

    def settlements(self) -> list[str]:
        """``ack``, ``nack`` or ``drop`` for each request since the last look."""
        return [
            type(request).__name__.removesuffix("Request").lower() for request in self.requests()
        ]
