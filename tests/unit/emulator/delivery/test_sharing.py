"""Several consumers of one subscription, and the flow control of each."""

from __future__ import annotations

from collections.abc import Callable

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.consumers import FlowControl
from tests.unit.emulator.conftest import ACK_DEADLINE, Clock, Reader

Publish = Callable[..., list[int]]


class TestFlowControl:
    def test_no_limits(self) -> None:
        flow = FlowControl(0, -1)
        flow.add(10**9)

        assert flow.admits(10**9)

    def test_at_most_so_many_messages(self, backlog: Backlog, publish: Publish) -> None:
        publish(10)
        reader = Reader(backlog, max_messages=3)

        assert len(reader.take()) == 3
        assert reader.take() == []

    def test_at_most_so_many_bytes(self, backlog: Backlog, publish: Publish) -> None:
        publish(10, size=1000)
        reader = Reader(backlog, max_bytes=3500)

        assert len(reader.take()) == 3

    def test_a_message_larger_than_the_limit_is_delivered_alone(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        publish(2, size=1000)
        reader = Reader(backlog, max_bytes=10)

        assert len(reader.take()) == 1

    def test_an_ack_makes_room(self, backlog: Backlog, publish: Publish) -> None:
        publish(10)
        reader = Reader(backlog, max_messages=2)
        ack_id = reader.take_one()
        reader.take()
        assert reader.take() == []

        backlog.acknowledge([ack_id])

        assert reader.woken == 1
        assert len(reader.take()) == 1

    def test_a_nack_makes_room(self, backlog: Backlog, publish: Publish) -> None:
        publish(10)
        reader = Reader(backlog, max_messages=1)
        ack_id = reader.take_one()
        assert reader.take() == []

        backlog.modify_ack_deadlines([ack_id], [0])

        assert reader.woken == 1

    def test_an_expiry_makes_room(self, backlog: Backlog, clock: Clock, publish: Publish) -> None:
        publish(10)
        reader = Reader(backlog, max_messages=1)
        reader.take()
        assert reader.take() == []

        clock.sleep(ACK_DEADLINE)

        assert reader.woken == 1


class TestSharing:
    def test_single_messages_go_round(self, backlog: Backlog, publish: Publish) -> None:
        first, second = Reader(backlog), Reader(backlog)
        first.take()
        second.take()

        publish()
        assert (first.woken, second.woken) == (1, 0)
        assert len(first.take()) == 1
        first.take()

        publish()
        assert (first.woken, second.woken) == (1, 1)

    def test_many_messages_are_split_among_the_idle(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        readers = [Reader(backlog) for _ in range(4)]
        for reader in readers:
            reader.take()

        publish(100)

        assert [len(reader.take()) for reader in readers] == [25, 25, 25, 25]
        assert [reader.woken for reader in readers] == [1, 1, 1, 1]

    def test_a_message_goes_past_a_consumer_without_room(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        full, free = Reader(backlog, max_messages=1), Reader(backlog)
        publish()
        full.take()
        full.take()
        free.take()

        publish()

        assert (full.woken, free.woken) == (0, 1)

    def test_a_consumer_that_cannot_take_the_next_message_lets_another_have_it(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        small, free = Reader(backlog, max_bytes=150), Reader(backlog)
        publish(1, size=100)
        small.take()
        free.take()
        publish(1, size=100)
        free.woken = 0

        assert small.take() == []
        backlog.detach(small.consumer)

        assert len(free.take()) == 1

    def test_a_message_for_a_consumer_that_leaves_goes_to_another_at_once(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        leaving, staying = Reader(backlog), Reader(backlog)
        leaving.take()
        staying.take()
        publish()
        assert (leaving.woken, staying.woken) == (1, 0)

        leaving.leave()

        assert staying.woken == 1
        assert len(staying.take()) == 1

    def test_messages_never_sent_on_a_stream_that_ended_go_to_another_at_once(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        leaving, staying = Reader(backlog), Reader(backlog)
        staying.take()
        publish(2)
        unsent = leaving.take()
        leaving.leave()
        backlog.release(leaving.consumer, unsent)

        assert staying.take_ids() == [1, 2]

    def test_what_a_consumer_holds_when_it_leaves_can_still_be_acknowledged(
        self, backlog: Backlog, clock: Clock, publish: Publish
    ) -> None:
        leaving, staying = Reader(backlog), Reader(backlog)
        publish()
        ack_id = leaving.take_one()
        leaving.leave()
        assert staying.take() == []

        backlog.acknowledge([ack_id])
        clock.sleep(ACK_DEADLINE)

        assert staying.take() == []

    def test_what_a_consumer_holds_when_it_leaves_is_redelivered_at_its_deadline(
        self, backlog: Backlog, clock: Clock, publish: Publish
    ) -> None:
        leaving, staying = Reader(backlog), Reader(backlog)
        publish()
        leaving.take()
        leaving.leave()
        assert staying.take() == []

        clock.sleep(ACK_DEADLINE)

        assert staying.woken == 1
        assert staying.take_ids() == [1]
