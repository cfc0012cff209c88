"""The streams of one subscription that are open, or are being opened. Used in the loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rele.engine.native.consuming import pull_calls
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.native.consuming.pull_streams import Stream, StreamActions
from rele.engine.native.consuming.stream_driver import StreamDriver

_OPEN_AFTER = 1.0
"""Seconds without a refusal after which a stream is open on which nothing was received: the server
need not say that it has accepted it."""


class OpenStreams:
    """Opens, pings and closes streams as it is asked to. It is false while there are none.

    Args:
        path: ``projects/PROJECT/subscriptions/NAME``.
        options: how the subscription is consumed.
        loop: where the streams are.
        receive: called with a stream and each of its responses.
        end: called with a stream and why it has ended.
    """

    def __init__(
        self,
        path: str,
        options: ConsumerOptions,
        loop: PullLoop,
        receive: Callable[[Stream, bytes], None],
        end: Callable[[Stream, BaseException | None], None],
    ) -> None:
        self._path = path
        self._headers = pull_calls.headers(path)
        self._options = options
        self._loop = loop
        self._receive = receive
        self._end = end
        self._drivers: dict[Stream, StreamDriver] = {}

    def __bool__(self) -> bool:
        return bool(self._drivers)

    def act(self, actions: StreamActions, lease_seconds: int) -> None:
        """Do what the core asks for, where messages are leased for so many seconds."""
        for stream in actions.open:
            self._open(stream, lease_seconds)
        for stream in actions.ping:
            if driver := self._drivers.get(stream):
                self._loop.begin(driver.ping())
        for stream in actions.close:
            if driver := self._drivers.get(stream):
                self._loop.begin(driver.half_close())

    def take_ended(self, stream: Stream) -> bool:
        """Forget ``stream``; return whether this process has ended it, to open another at once."""
        return self._drivers.pop(stream).is_cut_off

    def count(self, now: float) -> int:
        """From any thread: how many are open."""
        drivers = self._drivers.copy()  # in one step: the loop may change it meanwhile
        return sum(_is_open(stream, driver, now) for stream, driver in drivers.items())

    def _open(self, stream: Stream, lease_seconds: int) -> None:
        first_request = pull_calls.first_request(
            self._path,
            ack_deadline=lease_seconds,
            max_messages=stream.limit,
            max_bytes=max(self._options.max_bytes // self._options.streams, 1),
        )
        self._drivers[stream] = StreamDriver(
            self._loop,
            first_request,
            self._headers,
            receive=partial(self._receive, stream),
            end=partial(self._end, stream),
        )


def _is_open(stream: Stream, driver: StreamDriver, now: float) -> bool:
    return stream.is_accepted or (driver.is_written and now - stream.opened_at >= _OPEN_AFTER)
