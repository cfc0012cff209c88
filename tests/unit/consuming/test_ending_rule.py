"""When a worker that handles only what waits ends."""

from __future__ import annotations

from rele.consuming.ending_rule import EndingRule


def test_it_is_quiet_when_nothing_was_received_for_long_enough() -> None:
    rule = EndingRule(quiet_seconds=5)

    assert not rule.is_quiet(100, received=0, outstanding=0, is_open=True)
    assert not rule.is_quiet(104.9, received=0, outstanding=0, is_open=True)
    assert rule.is_quiet(105, received=0, outstanding=0, is_open=True)


def test_what_is_received_or_outstanding_is_waited_for() -> None:
    rule = EndingRule(quiet_seconds=5)
    rule.is_quiet(100, received=0, outstanding=0, is_open=True)

    assert not rule.is_quiet(105, received=1, outstanding=0, is_open=True)
    assert not rule.is_quiet(109, received=1, outstanding=1, is_open=True)
    assert not rule.is_quiet(113, received=1, outstanding=0, is_open=True)
    assert rule.is_quiet(114, received=1, outstanding=0, is_open=True)


def test_it_is_over_after_the_number_of_messages() -> None:
    rule = EndingRule(quiet_seconds=5, most=2)
    rule.note_success()
    assert not rule.is_over

    rule.note_failure("a")

    assert rule.is_over
    assert (rule.handled, rule.failed) == (1, 1)


def test_it_is_over_when_a_message_fails_again() -> None:
    rule = EndingRule(quiet_seconds=5)
    rule.note_failure("a")
    rule.note_failure("b")
    assert not rule.is_over

    rule.note_failure("a")

    assert rule.is_over


def test_it_is_not_quiet_while_pubsub_could_send_nothing() -> None:
    rule = EndingRule(quiet_seconds=5)
    rule.is_quiet(100, received=0, outstanding=0, is_open=True)

    assert not rule.is_quiet(106, received=0, outstanding=0, is_open=False)
    assert not rule.is_quiet(110, received=0, outstanding=0, is_open=True)
    assert rule.is_quiet(111, received=0, outstanding=0, is_open=True)
