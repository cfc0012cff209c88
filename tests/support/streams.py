"""StreamingPull without the client library's leasing."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

import grpc
from google.pubsub_v1 import types

SOON = 10
"""Seconds within which everything that is waited for has to happen."""


class BareStream:
    """A StreamingPull without the client library's leasing: what is sent is what is asked for."""

    def __init__(self, address: str, **first: Any) -> None:
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.send(**{"stream_ack_deadline_seconds": 60, **first})
        method = self._channel.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=types.StreamingPullRequest.serialize,
            response_deserializer=types.StreamingPullResponse.deserialize,
        )
        self._call = method(iter(self._requests.get, None))
        self._received: queue.Queue[Any] = queue.Queue()
        self.notices: queue.Queue[Any] = queue.Queue()
        """The responses that confirm something, or bring no messages."""
        self.properties: Any = None
        """The ``subscription_properties`` of the last response."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def opened(self) -> BareStream:
        """Wait until the server has accepted the stream."""
        self._call.initial_metadata()
        return self

    def send(self, **request: Any) -> None:
        self._requests.put(types.StreamingPullRequest(**request))

    def next(self, timeout: float = SOON) -> types.ReceivedMessage:
        """The next message. Raises ``queue.Empty`` where none comes within ``timeout`` seconds."""
        return self._received.get(timeout=timeout)

    def received(self, timeout: float) -> list[types.ReceivedMessage]:
        """What comes until nothing does for ``timeout`` seconds."""
        messages = []
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self.next(timeout))
        return messages

    def confirmation(self, kind: str, timeout: float = SOON) -> Any:
        """The next confirmation: ``acknowledge`` or ``modify_ack_deadline``.

        Raises ``queue.Empty`` where none comes in time.
        """
        while True:
            notice = self.notices.get(timeout=timeout)
            field = f"{kind}_confirmation"
            if field in notice:
                return getattr(notice, field)

    def next_data(self, number: int) -> list[bytes]:
        return [self.next().message.data for _ in range(number)]

    def half_close(self) -> None:
        self._requests.put(None)

    def cancel(self) -> None:
        self._call.cancel()

    def status(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the stream."""
        self._reader.join(SOON)
        return self._call.code(), self._call.details()

    def close(self) -> None:
        self.cancel()
        self.half_close()
        self._reader.join(SOON)
        self._channel.close()

    def _read(self) -> None:
        try:
            for response in self._call:
                self.properties = response.subscription_properties
                for received in response.received_messages:
                    self._received.put(received)
                if not response.received_messages or any(
                    f"{kind}_confirmation" in response
                    for kind in ("acknowledge", "modify_ack_deadline")
                ):
                    self.notices.put(response)
        except grpc.RpcError:
            pass  # `status` has it.
