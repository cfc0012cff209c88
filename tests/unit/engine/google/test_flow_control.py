from __future__ import annotations

from datetime import timedelta

from rele.declaration.options import SubscriptionOptions
from rele.engine.google.flow_control import flow_control, max_lease_duration, states_limits


def test_a_process_takes_a_hundred_messages_where_nothing_is_stated() -> None:
    assert flow_control(SubscriptionOptions(), threads=2).max_messages == 100


def test_no_thread_has_to_idle_for_it() -> None:
    assert flow_control(SubscriptionOptions(), threads=150).max_messages == 150


def test_what_is_stated_counts() -> None:
    options = SubscriptionOptions(
        max_messages=500, max_bytes=1024, max_lease_duration=timedelta(minutes=2)
    )

    limits = flow_control(options, threads=2)

    assert (limits.max_messages, limits.max_bytes) == (500, 1024)
    assert limits.max_lease_duration == 120


def test_a_message_is_kept_for_googles_hour_where_nothing_is_stated() -> None:
    assert max_lease_duration(SubscriptionOptions()) == 3600
    assert max_lease_duration(SubscriptionOptions(max_lease_duration=20)) == 20
    assert max_lease_duration(SubscriptionOptions(max_lease_duration=timedelta(minutes=2))) == 120


def test_only_limits_are_statements_about_it() -> None:
    assert not states_limits(SubscriptionOptions(threads=4, ack_deadline=20))
    assert states_limits(SubscriptionOptions(max_bytes=1))
