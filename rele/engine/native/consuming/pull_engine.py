"""The consumers of one process, which share a loop and the threads of handlers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rele.engine.connection import Connection
from rele.engine.native import green
from rele.engine.native.consuming.consumer import NativeConsumer
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.handler_loop import HandlerLoop
from rele.engine.native.consuming.handler_threads import HandlerThreads
from rele.engine.native.consuming.pull_channels import describe_pull_channel
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.native.consuming.pull_streams import PING_EVERY
from rele.engine.times import Times

_SPREAD = 0.01
_LONGEST_SPREAD = 1.0
"""Seconds, for each subscription and at most, within which the first streams are opened at random
times: a hundred workers that are deployed together do not open theirs at once."""

_PING_TOGETHER = 100
"""Subscriptions whose keepalives are sent together. A keepalive that is sent alone costs several
times as much, but a thousand in one step would keep messages waiting for a tenth of a second."""


class PullEngine:
    """Makes the consumers of one project.

    Args:
        connection: where Pub/Sub is, and with which credentials.
        times: the durations that they use; tests shorten them.

    Raises:
        ConfigurationError: gevent or eventlet has patched this process.
        NoCredentialsError: no credentials are given, and Google's libraries find none.
    """

    def __init__(self, connection: Connection, times: Times | None = None) -> None:
        green.refuse_to_consume()
        self._connection = connection
        self._times = times or Times()
        open_channel = describe_pull_channel(connection, self._times)
        self._loop = PullLoop(open_channel, connection.address, times)
        self._threads = HandlerThreads("rele-handler")
        self._handler_loop = HandlerLoop(self._loop, self._threads)
        self._number = 0
        self._ping_phase = 0.0

    def consumer(
        self,
        name: str,
        callback: Callable[[Any], object],
        options: ConsumerOptions,
        prepare: Callable[[], bool],
    ) -> NativeConsumer:
        """A consumer of the subscription ``name``, which is not open yet."""
        if self._number % _PING_TOGETHER == 0:
            self._ping_phase = PING_EVERY * random.random()
        options = replace(
            options,
            ping_phase=self._ping_phase,
            first_pause=self._times.first_pause,
            longest_pause=self._times.longest_random_pause,
        )
        self._number += 1
        within = min(self._number * _SPREAD, _LONGEST_SPREAD)
        path = f"projects/{self._connection.gc_project_id}/subscriptions/{name}"
        return NativeConsumer(
            path,
            callback,
            options,
            self._loop,
            self._threads,
            prepare,
            opens_within=within,
            handler_loop=self._handler_loop,
        )

    @property
    def is_unavailable(self) -> bool:
        """Whether Pub/Sub is known to be unavailable."""
        return self._loop.availability.is_unavailable

    @property
    def unavailable_for(self) -> float:
        """For how many seconds Pub/Sub has been unavailable; 0 if it is available."""
        return self._loop.availability.seconds

    def close(self) -> None:
        """Close the connections, once all consumers are drained. Does not wait."""
        self._handler_loop.stop()
        self._loop.stop()
