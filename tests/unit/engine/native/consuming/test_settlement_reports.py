from __future__ import annotations

import logging

import pytest

from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.lease_calls import Call
from rele.engine.native.consuming.settlement_reports import SettlementReports


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> SettlementReports:
    caplog.set_level(logging.INFO, "rele")
    return SettlementReports("orders")


def call(sent_at: float) -> Call:
    return Call("ack", [], sent_at)


def fail(reports: SettlementReports, sent_at: float, now: float, **options: bool) -> None:
    reports.note_end(
        call(sent_at), "UNAVAILABLE: busy", now, **{"is_unavailable": False, **options}
    )


def succeed(reports: SettlementReports, now: float) -> None:
    reports.note_end(call(now), None, now, is_unavailable=False)


def test_calls_that_fail_for_longer_are_logged_once_a_minute(
    reports: SettlementReports, caplog: pytest.LogCaptureFixture
) -> None:
    for now in range(0, 70, 1):
        fail(reports, now, now + 0.1)

    assert [record.getMessage().partition(" do not")[0] for record in caplog.records] == [
        "Acknowledgements and extensions of orders"
    ] * 2
    assert "for 2 s now: UNAVAILABLE: busy." in caplog.messages[0]
    succeed(reports, 75)
    assert caplog.messages[2].endswith("of orders get through again, after 75 s.")


def test_a_call_that_fails_at_once_and_then_works_is_not_logged(
    reports: SettlementReports, caplog: pytest.LogCaptureFixture
) -> None:
    for now in range(0, 100, 10):
        fail(reports, now, now + 0.1)
        succeed(reports, now + 1)

    assert caplog.messages == []


def test_a_call_without_an_answer_is_logged(
    reports: SettlementReports, caplog: pytest.LogCaptureFixture
) -> None:
    fail(reports, 0, 5)

    assert len(caplog.messages) == 1


def test_an_outage_is_logged_by_who_watches_the_connection(
    reports: SettlementReports, caplog: pytest.LogCaptureFixture
) -> None:
    fail(reports, 0, 5, is_unavailable=True)

    assert caplog.messages == []


def test_lost_leases_are_counted_once_a_minute_if_their_handlers_had_begun(
    reports: SettlementReports, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries = [Delivery(f"ack-{number}", f"{number}") for number in range(30)]
    reports.note_lost(deliveries, 0)
    assert caplog.messages == []

    for delivery in deliveries:
        delivery.begun_at = 0.0
    reports.note_lost(deliveries[:10], 1)
    reports.note_lost(deliveries[10:20], 2)
    reports.note_lost(deliveries[20:], 61)
    assert [int(message.partition(" ")[0]) for message in caplog.messages] == [10, 20]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
