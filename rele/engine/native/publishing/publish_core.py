"""Decides which messages are sent, retried and reported, and when. No clock, thread or gRPC."""

from __future__ import annotations

import random as random_numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from rele.engine.native.publishing.lanes import Lane, Request, Topic
from rele.engine.native.publishing.outgoing import Outgoing
from rele.engine.native.publishing.publish_outage import PublishOutage
from rele.engine.native.publishing.retrying import Backoff, Failure, Kind, PublishTimes
from rele.engine.outage_reports import Line
from rele.engine.publisher_options import PublisherOptions

UNDER_WAY_OF_TOPIC = 4
UNDER_WAY = 32
UNDER_WAY_OF_FAILING = 16
"""The most requests that are under way at a time: of a topic, of the process, and of all topics
that fail, so that these leave room for the others."""

_SWEEP_EVERY = 1.0
"""Seconds between two checks for messages that have waited too long."""


@dataclass(frozen=True)
class Outcome:
    """What has become of some messages."""

    messages: Sequence[Outgoing]
    ids: Sequence[str] | None = None
    """A message id for each, if Pub/Sub has accepted them."""
    error: BaseException | None = None
    """Why they have failed finally."""
    lane: Lane | None = None
    """The lane whose later messages depend on when the first failure is reported: see
    ``note_reported``."""


@dataclass
class Actions:
    """What the driver has to do."""

    requests: list[Request] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


class PublishCore:
    """Decides about all messages of one publisher.

    Events go in by the methods ``add``, ``flush`` and ``note_…``; then ``act`` returns what is to
    be done. All times are seconds of one clock. One thread at a time may use it.

    Args:
        options: what the project has set.
        address: the server's address, for the log.
        times: the durations that no project sets; tests shorten them.
        timed_out: makes the error of messages that were not accepted in time, from the last error.
        random: a number from 0 to 1.
    """

    def __init__(
        self,
        options: PublisherOptions,
        address: str,
        timed_out: Callable[[str, BaseException | None], BaseException],
        times: PublishTimes | None = None,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        self._options = options
        self._times = times or PublishTimes()
        self._timed_out = timed_out
        self._random = random
        self._topics: dict[str, Topic] = {}
        self._touched: dict[Lane, None] = {}
        """The lanes for which something has changed since ``act``."""
        self._sendable: dict[Topic, None] = {}
        """The topics with ready lanes, first the one that has waited longest."""
        self._held: list[Topic] = []
        """The failing topics that wait until fewer requests of failing topics are under way."""
        self._timers: list[tuple[float, int, Lane | Topic]] = []
        self._numbers = count()
        self._sweep_at: float | None = None
        self._under_way = 0
        self._under_way_of_failing = 0
        self._outcomes: list[Outcome] = []
        self._outage = PublishOutage(address, self._times)
        self.outstanding = 0
        """How many messages have no outcome yet."""

    def add(self, message: Outgoing, now: float) -> None:
        """Take a message that was handed over."""
        topic = self._topics.get(message.topic) or self._make_topic(message.topic)
        lane = topic.lanes.get(message.key) or self._make_lane(topic, message.key)
        lane.add(message)
        self._touched[lane] = None
        self.outstanding += 1
        if self._sweep_at is None:
            self._sweep_at = now + self._sweep_pause

    def flush(self) -> None:
        """Gather no more: send what waits as soon as possible."""
        for topic in self._topics.values():
            for lane in topic.lanes.values():
                lane.hurry()
                self._touched[lane] = None

    def note_accepted(self, request: Request, ids: Sequence[str], now: float) -> None:
        """Note that Pub/Sub has accepted the messages of ``request``."""
        self._end(request)
        lane = request.lane
        lane.backoff.note_success()
        was_failing = lane.topic.is_failing
        lane.topic.backoff.note_success()
        self._outage.note_success(lane, lane.topic)
        if was_failing:
            self._wake_topics(now)
        self._conclude(Outcome(request.messages, ids=ids))

    def note_failure(self, request: Request, failure: Failure, now: float) -> None:
        """Note that ``request`` was not accepted."""
        self._end(request)
        lane = request.lane
        lane.error = failure.error
        if failure.kind is Kind.FINAL:
            self._fail(lane, request.messages, failure.error)
        elif failure.kind is not Kind.INVALID:
            self._pause(request, failure, now)
        elif len(request.messages) == 1:
            self._fail(lane, request.messages, failure.error)
        else:
            middle = len(request.messages) // 2
            lane.send_again([request.messages[:middle], request.messages[middle:]])

    def note_reported(self, lane: Lane, at: float) -> None:
        """Note that a failed future of ``lane`` is done since the time ``at``.

        What was handed over before that fails as well, since its order would be lost; whoever
        publishes afterwards may know of the failure, and begins anew.
        """
        error, undecided = lane.failed_by, lane.undecided
        lane.failed_by, lane.undecided = None, []
        self._touched[lane] = None
        before = [message for message in undecided if message.handed_at < at]
        for message in undecided:
            if message.handed_at >= at:
                lane.add(message)
        if before:
            self._conclude(Outcome(before, error=error))

    def act(self, now: float) -> Actions:
        """Decide what to do now."""
        self._wake_due(now)
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep(now)
        touched, self._touched = self._touched, {}
        for lane in touched:
            self._arrange(lane, now)
        requests = self._send(now)
        outcomes, self._outcomes = self._outcomes, []
        return Actions(requests, outcomes, self._outage.lines(now, self.outstanding))

    def next_due(self) -> float | None:
        """When to call :meth:`act` at the latest; ``None``: not before the next event."""
        times = [self._timers[0][0]] if self._timers else []
        times += [at for at in (self._sweep_at, self._outage.next_line()) if at is not None]
        return min(times, default=None)

    @property
    def _sweep_pause(self) -> float:
        return min(_SWEEP_EVERY, self._options.retry_for / 4)

    def _make_topic(self, name: str) -> Topic:
        topic = self._topics[name] = Topic(name, Backoff(self._times, self._random))
        return topic

    def _make_lane(self, topic: Topic, key: str) -> Lane:
        backoff = Backoff(self._times, self._random)
        lane = topic.lanes[key] = Lane(topic, key, self._options, backoff)
        return lane

    def _arrange(self, lane: Lane, now: float) -> None:
        """Let a lane send if it can now, or set a timer, or forget it if it has nothing."""
        topic, due = lane.topic, lane.due_at()
        if due is not None and due <= now:
            topic.ready[lane] = None
            self._sendable[topic] = None
            return
        topic.ready.pop(lane, None)
        if due is not None:
            self._set_timer(lane, due)
        elif lane.is_idle:
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        topic = lane.topic
        if topic.lanes.get(lane.key) is not lane:
            return  # an old timer of a lane that was forgotten
        del topic.lanes[lane.key]
        self._outage.forget(lane)
        if not topic.lanes:
            del self._topics[topic.name]
            self._sendable.pop(topic, None)
            self._outage.forget(topic)

    def _set_timer(self, of: Lane | Topic, at: float) -> None:
        if of.timer_at is None or at < of.timer_at:
            of.timer_at = at
            heappush(self._timers, (at, next(self._numbers), of))

    def _wake_due(self, now: float) -> None:
        """Consider again the lanes and topics whose timers are due."""
        while self._timers and self._timers[0][0] <= now:
            at, _, of = heappop(self._timers)
            if of.timer_at == at:
                of.timer_at = None
            if isinstance(of, Lane):
                self._touched[of] = None
            elif of.ready:
                self._sendable[of] = None

    def _send(self, now: float) -> list[Request]:
        """The requests that can be sent now; topics take turns, and so do the lanes of a topic."""
        requests = []
        while self._sendable and self._under_way < UNDER_WAY:
            topic = next(iter(self._sendable))
            del self._sendable[topic]
            if topic.ready and self._may_send(topic, now):
                requests.append(self._take_request(topic, now))
                if topic.ready:
                    self._sendable[topic] = None
        return requests

    def _may_send(self, topic: Topic, now: float) -> bool:
        """Whether a topic may send another request now.

        If not, it is considered again after its pause, or when a request has ended.
        """
        if topic.backoff.until > now:
            self._set_timer(topic, topic.backoff.until)
            return False
        if not topic.is_failing:
            return topic.under_way < UNDER_WAY_OF_TOPIC
        if topic.under_way:
            return False
        if self._under_way_of_failing >= UNDER_WAY_OF_FAILING:
            self._held.append(topic)
            return False
        return True

    def _take_request(self, topic: Topic, now: float) -> Request:
        lane = next(iter(topic.ready))
        del topic.ready[lane]
        messages = lane.take()
        timeout = self._times.of_attempt(sum(message.size for message in messages))
        if topic.is_failing:
            # It may wait for a connection until its timeout, and its messages are not reported
            # as failed before that: so it ends when they must be.
            left = messages[0].handed_at + self._options.retry_for - now
            timeout = min(timeout, max(left, self._sweep_pause))
        request = Request(lane, messages, now, timeout, topic.is_failing)
        lane.under_way += 1
        topic.under_way += 1
        self._under_way += 1
        self._under_way_of_failing += request.waits_for_connection
        self._arrange(lane, now)
        return request

    def _end(self, request: Request) -> None:
        """Note that ``request`` is no longer under way."""
        lane, topic = request.lane, request.lane.topic
        lane.under_way -= 1
        topic.under_way -= 1
        self._under_way -= 1
        self._under_way_of_failing -= request.waits_for_connection
        self._touched[lane] = None
        for each in (topic, *self._held):
            if each.ready:
                self._sendable[each] = None
        self._held.clear()

    def _pause(self, request: Request, failure: Failure, now: float) -> None:
        """Send the messages of ``request`` again after a pause."""
        lane = request.lane
        is_exhausted = failure.kind is Kind.EXHAUSTED
        # The quota of an ordering key is its own; everything else is about the topic.
        failing = lane if is_exhausted and lane.key else lane.topic
        failing.backoff.note_failure(now, request.sent_at, is_exhausted=is_exhausted)
        self._outage.note_failure(failing, failure.error, now)
        lane.send_again([request.messages])
        if now - request.messages[0].handed_at >= self._options.retry_for:
            self._sweep_at = now

    def _wake_topics(self, now: float) -> None:
        """Try all failing topics again soon, since one of them has recovered."""
        for topic in self._topics.values():
            if topic.is_failing:
                topic.backoff.wake(now)
                self._set_timer(topic, max(topic.backoff.until, now))

    def _sweep(self, now: float) -> None:
        """Fail the messages that were not accepted in time, unless an attempt is under way."""
        self._sweep_at = now + self._sweep_pause
        too_old = now - self._options.retry_for
        for topic in list(self._topics.values()):
            for lane in list(topic.lanes.values()):
                if lane.key and lane.under_way:
                    continue
                if expired := lane.take_older(too_old):
                    self._touched[lane] = None
                    self._fail(lane, expired, self._timed_out(topic.name, lane.error))

    def _fail(self, lane: Lane, messages: list[Outgoing], error: BaseException) -> None:
        """Fail ``messages`` finally, and with an ordering key all that wait behind them."""
        if not lane.key:
            self._conclude(Outcome(messages, error=error))
            return
        lane.failed_by = error
        self._conclude(Outcome([*messages, *lane.take_all()], error=error, lane=lane))

    def _conclude(self, outcome: Outcome) -> None:
        self.outstanding -= len(outcome.messages)
        if not self.outstanding:
            self._sweep_at = None
        self._outcomes.append(outcome)
