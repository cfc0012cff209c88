from __future__ import annotations

import pytest

from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.flow import Flow
from rele.engine.native.consuming.pull_streams import PullStreams, Stream, StreamActions


class VirtualStreams:
    """The streams of a subscription in virtual time."""

    def __init__(
        self,
        limit: int = 100,
        most: int = 1000,
        number: int = 1,
        *,
        ping_phase: float = 0.0,
        started_at: float = 0.0,
        chance: float = 1.0,
    ) -> None:
        self.now = started_at
        self.flow = Flow(ConsumerOptions(limit // 2, most))
        self.streams = PullStreams(self.flow, number, random=lambda: chance, ping_phase=ping_phase)
        self.opened: list[Stream] = []
        self.closed: list[Stream] = []
        self.pings: list[float] = []
        self.streams.start(self.now)
        self.act()

    def act(self) -> StreamActions:
        actions = self.streams.act(self.now)
        self.opened += actions.open
        self.closed += actions.close
        self.pings += [self.now for _ in actions.ping]
        return actions

    def advance(self, seconds: float, *, answering: bool = False) -> None:
        until = self.now + seconds
        while (due := self.streams.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            if self.act().ping and answering:
                self.hear(is_answer=True)
        self.now = until

    def hear(self, *, is_answer: bool = False) -> None:
        self.streams.note_received(self.opened[-1], self.now, is_answer=is_answer)

    def end(self, number: int = -1) -> float | None:
        pause = self.streams.note_ended(self.opened[number], self.now)
        self.act()
        return pause

    def resize(self, limit: int) -> None:
        self.flow.limit = limit
        self.streams.resize(self.now)
        self.act()

    @property
    def limits(self) -> list[int]:
        return [stream.limit for stream in self.opened]


@pytest.fixture
def streams() -> VirtualStreams:
    return VirtualStreams()


def test_a_stream_is_opened_at_the_start(streams: VirtualStreams) -> None:
    assert [stream.limit for stream in streams.opened] == [100]


def test_many_workers_open_their_streams_at_different_times() -> None:
    streams = PullStreams(Flow(ConsumerOptions(2)), random=lambda: 0.5)
    streams.start(100, within=1)

    assert streams.act(100).open == []
    assert streams.next_due() == 100.5


def test_a_healthy_stream_that_ends_is_replaced_within_a_second(streams: VirtualStreams) -> None:
    for _ in range(3):
        streams.hear()
        streams.advance(20)
        assert streams.end() == 1
        streams.advance(1)
    assert len(streams.opened) == 4


class TestALimitChanges:
    def test_the_larger_stream_is_opened_before_the_smaller_one_is_closed(
        self, streams: VirtualStreams
    ) -> None:
        streams.resize(200)

        assert streams.limits == [100, 200]
        assert streams.closed == streams.opened[:1]

    def test_where_both_together_exceed_the_most_the_old_one_ends_first(self) -> None:
        streams = VirtualStreams(limit=600)
        streams.opened[0].charge.unsettled = 50
        streams.resize(1000)
        assert (streams.limits, len(streams.closed)) == ([600], 1)

        assert streams.end(0) is None
        assert streams.limits == [600, 950]

    def test_a_stream_waits_for_room(self) -> None:
        streams = VirtualStreams(limit=1000)
        charge = streams.opened[0].charge
        charge.unsettled = 1000
        streams.end()
        streams.advance(5)
        assert streams.limits == [1000]

        charge.unsettled = 750
        streams.advance(0)
        streams.act()
        assert streams.limits == [1000, 250]
        assert streams.streams.is_short

    def test_streams_divide_the_limit(self) -> None:
        streams = VirtualStreams(limit=100, number=4)
        assert streams.limits == [25] * 4
        streams.resize(200)

        assert streams.limits == [25] * 4 + [50] * 4
        assert streams.closed == streams.opened[:4]


def test_the_pauses_grow_to_a_minute(streams: VirtualStreams) -> None:
    pauses = []
    for _ in range(8):
        pauses.append(streams.end())
        streams.advance(60)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_many_failures_within_seconds_cause_no_long_pause() -> None:
    """Where the random pauses happen to be short."""
    streams = VirtualStreams(chance=0.01)
    pauses = []
    for _ in range(40):
        pauses.append(streams.end())
        streams.advance(0.011)

    assert pauses == pytest.approx([0.01] * 40), "a hundredth of a second, not of a minute"


def test_a_server_that_stops_answering_keepalives_is_noticed(streams: VirtualStreams) -> None:
    streams.advance(90, answering=True)
    assert streams.pings == [30, 60, 90]
    streams.advance(30)
    assert len(streams.opened) == 1
    streams.advance(15.1)

    assert len(streams.opened) == 2
    assert streams.closed == streams.opened[:1]


def test_keepalives_of_streams_that_were_opened_at_different_times_are_sent_together() -> None:
    pings = []
    for opened_at in (0.0, 0.4, 29.0, 47.0):
        streams = VirtualStreams(ping_phase=7.5, started_at=opened_at)
        streams.advance(120 - opened_at, answering=True)
        assert len(streams.opened) == 1
        pings.append(streams.pings)

    assert pings == [[37.5, 67.5, 97.5]] * 2 + [[67.5, 97.5]] * 2


def test_where_keepalives_are_never_answered_silence_lasts_longer(streams: VirtualStreams) -> None:
    streams.advance(299)
    assert len(streams.opened) == 1
    streams.advance(2)

    assert len(streams.opened) == 2


def test_a_stream_with_messages_is_not_silent(streams: VirtualStreams) -> None:
    for _ in range(100):
        streams.advance(10)
        streams.hear()

    assert len(streams.opened) == 1


def test_what_follows_a_long_silence_may_have_been_sent_during_it(streams: VirtualStreams) -> None:
    """A connection may have been cut meanwhile, and lets through all at once what was sent."""
    (stream,) = streams.opened
    streams.hear()
    streams.advance(5)
    streams.hear()
    assert stream.stalled_since is None

    streams.advance(20)
    for _ in range(3):
        streams.hear()
        assert stream.stalled_since == 5
        streams.advance(2)
    streams.hear()
    assert stream.stalled_since is None


def test_a_drained_subscription_opens_no_stream(streams: VirtualStreams) -> None:
    streams.streams.drain()

    assert streams.act().close == streams.opened
    assert streams.end() is None
    streams.advance(1000)
    assert len(streams.opened) == 1


def test_a_replaced_stream_may_end(streams: VirtualStreams) -> None:
    streams.advance(301)
    first, second = streams.opened

    assert streams.streams.note_ended(first, streams.now) is None
    assert streams.streams.current == [second]


class TestOurOwnDoing:
    def test_a_stream_that_a_fork_has_ended_is_opened_again_at_once(
        self, streams: VirtualStreams
    ) -> None:
        streams.end()
        streams.advance(2)
        ended = streams.opened[-1]

        assert streams.streams.note_ended(ended, streams.now, is_cut_off=True) is None
        assert len(streams.act().open) == 1

        assert streams.end() == 2.0, "and it is no failure: the pauses are as before"

    def test_time_in_which_this_process_did_not_run_is_no_silence(
        self, streams: VirtualStreams
    ) -> None:
        streams.advance(299)

        streams.now += 60
        streams.streams.note_blocked(60.0)

        assert not streams.act().open
        streams.advance(2)
        assert len(streams.opened) == 2


def test_a_stream_that_brought_messages_has_not_failed_however_soon_it_ends(
    streams: VirtualStreams,
) -> None:
    """Behind a proxy that allows a stream a few seconds, pauses would grow to a minute."""
    pauses = []
    for _ in range(5):
        streams.hear()
        pauses.append(streams.end())
        streams.advance(1)

    assert pauses == [1.0] * 5
