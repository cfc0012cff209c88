from __future__ import annotations

import hashlib
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

import pytest

from rele import Callback, Subscription
from rele.exceptions import DeadLetter, Drop, Reject, Retry
from rele.handling.settlement import SettlementPolicy
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder, raising

Deliver = Callable[..., Delivery]

BROKEN = b"\xff secret"


def deliver_failing(delivery: Delivery, error: BaseException, **arguments: Any) -> None:
    """Let a handler raise ``error`` for the message, which is settled by ``arguments``."""
    subscription = Subscription(raising(error), "photos")
    Callback(subscription, policy=SettlementPolicy(subscription, **arguments))(delivery.message)


def deliver_broken(delivery: Delivery, **arguments: Any) -> None:
    subscription = Subscription(print, "photos")
    Callback(subscription, policy=SettlementPolicy(subscription, **arguments))(delivery.message)


class TestDecision:
    def test_drop_acknowledges(self, hooks: Recorder, deliver: Deliver) -> None:
        delivery = deliver()

        deliver_failing(delivery, Drop())

        assert delivery.settlements() == ["ack"]
        assert "post_process_message_failure" in hooks.names

    def test_retry_nacks(self, deliver: Deliver) -> None:
        delivery = deliver()

        deliver_failing(delivery, Retry())

        assert delivery.settlements() == ["nack"]

    @pytest.mark.parametrize(("delay", "seconds"), [(0.2, 1), (30, 30), (600, 600)])
    def test_retry_with_a_delay_holds_it_back(
        self, deliver: Deliver, delay: float, seconds: int
    ) -> None:
        delivery = deliver()

        deliver_failing(delivery, Retry(delay))

        assert held_back_for(delivery) == seconds

    @pytest.mark.parametrize("delay", [-1, 601, float("nan")])
    def test_a_delay_that_pubsub_does_not_know_is_refused(self, delay: float) -> None:
        with pytest.raises(ValueError, match="from 0 to 600"):
            Retry(delay)

    def test_dead_letter_publishes_and_then_acknowledges(self, deliver: Deliver) -> None:
        delivery = deliver()
        put_away: list[tuple[Any, list[str]]] = []

        deliver_failing(
            delivery,
            DeadLetter(),
            send_to_dead_letters=lambda message, _: put_away.append(
                (message, delivery.settlements())
            ),
        )

        assert put_away == [(delivery.message, [])]
        assert delivery.settlements() == ["ack"]

    def test_reject_dead_letters_with_one_error(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver()
        dead: list[Any] = []

        deliver_failing(
            delivery,
            Reject("it has no id"),
            send_to_dead_letters=lambda message, _: dead.append(message),
        )

        assert dead == [delivery.message]
        assert delivery.settlements() == ["ack"]
        [error] = [each for each in caplog.records if each.levelname == "ERROR"]
        assert error.getMessage().endswith("goes to the dead-letter topic: it has no id")

    def test_reject_acknowledges_with_one_error_where_there_is_no_policy(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver()

        deliver_failing(delivery, Reject("it has no id"))

        assert delivery.settlements() == ["ack"]
        [error] = [each for each in caplog.records if each.levelname == "ERROR"]
        assert error.getMessage().endswith("is acknowledged unhandled: it has no id")

    def test_dead_letter_that_cannot_be_published_is_nacked(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver()

        deliver_failing(delivery, DeadLetter(), send_to_dead_letters=raising(OSError("away")))

        assert delivery.settlements() == ["nack"]
        assert "could not be published to the dead-letter topic" in caplog.text

    @pytest.mark.usefixtures("no_middleware")
    def test_dead_letter_without_a_policy_is_an_error_and_nacked(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver()

        deliver_failing(delivery, DeadLetter())

        assert delivery.settlements() == ["nack"]
        [record] = caplog.records
        assert record.levelname == "ERROR"
        assert "message-1" in record.getMessage()
        assert "no dead-letter policy" in record.getMessage()


class TestAtTheLastDelivery:
    """Were the message nacked then, Pub/Sub would move it without its error."""

    @pytest.mark.parametrize("error", [KeyError("price"), Retry(), Retry(30)], ids=repr)
    def test_a_failed_message_is_published_with_its_error_and_then_acknowledged(
        self, deliver: Deliver, error: Exception
    ) -> None:
        delivery = deliver(attempt=5)
        published: list[Any] = []

        deliver_failing(
            delivery,
            error,
            max_attempts=5,
            send_to_dead_letters=lambda message, failure: published.append(
                (failure["rele_error_type"], delivery.settlements())
            ),
        )

        assert published == [(type(error).__name__, [])]
        assert delivery.settlements() == ["ack"]

    @pytest.mark.parametrize("error", [KeyError("price"), Retry()], ids=repr)
    def test_it_is_nacked_if_that_is_not_accepted(
        self, deliver: Deliver, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver(attempt=5)

        deliver_failing(
            delivery, error, max_attempts=5, send_to_dead_letters=raising(OSError("unavailable"))
        )

        assert delivery.settlements() == ["nack"]
        assert "Pub/Sub moves it to the dead-letter topic without its error" in caplog.text

    @pytest.mark.parametrize(
        ("attempt", "error"),
        [(4, KeyError("price")), (0, KeyError("price")), (5, CancelledError())],
        ids=["not the last", "not counted", "ended from outside"],
    )
    def test_otherwise_it_is_nacked(
        self, deliver: Deliver, attempt: int, error: BaseException
    ) -> None:
        delivery = deliver(attempt=attempt)
        published: list[Any] = []

        deliver_failing(
            delivery,
            error,
            max_attempts=5,
            send_to_dead_letters=lambda message, _: published.append(message),
        )

        assert not published
        assert delivery.settlements() == ["nack"]


class TestWithAFailurePause:
    """Where the subscription has no retry policy: a nack would be redelivered at once."""

    @pytest.mark.parametrize(
        ("error", "arguments"),
        [
            (ValueError(), {}),
            (Retry(), {}),
            (DeadLetter(), {}),
            (DeadLetter(), {"send_to_dead_letters": raising(OSError("unavailable"))}),
        ],
        ids=["failed", "Retry", "DeadLetter without a policy", "DeadLetter that is not published"],
    )
    def test_a_message_is_not_redelivered_before_its_end(
        self, deliver: Deliver, error: Exception, arguments: dict[str, Any]
    ) -> None:
        delivery = deliver()

        deliver_failing(delivery, error, failure_pause=30, **arguments)

        assert held_back_for(delivery) == 30

    @pytest.mark.parametrize(
        "arguments",
        [{"logs_payloads": False}, {"send_to_dead_letters": raising(OSError("unavailable"))}],
        ids=["unlogged", "not published"],
    )
    def test_one_that_cannot_be_decoded_neither(
        self, deliver: Deliver, arguments: dict[str, Any]
    ) -> None:
        delivery = deliver(BROKEN)

        deliver_broken(delivery, failure_pause=30, **arguments)

        assert held_back_for(delivery) == 30

    def test_the_delay_of_a_retry_counts_instead(self, deliver: Deliver) -> None:
        delivery = deliver()

        deliver_failing(delivery, Retry(5), failure_pause=30)

        assert held_back_for(delivery) == 5


def held_back_for(delivery: Delivery) -> Any:
    """Seconds for which the message is not redelivered; fails where it was settled otherwise."""
    drop, extension = delivery.requests()
    assert type(drop).__name__ == "DropRequest"
    return extension.seconds


class TestUndecodable:
    def test_goes_to_the_dead_letter_topic_where_there_is_one(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver(BROKEN)
        put_away: list[Any] = []

        deliver_broken(delivery, send_to_dead_letters=lambda message, _: put_away.append(message))

        assert put_away == [delivery.message]
        assert delivery.settlements() == ["ack"]
        assert "message-1" in caplog.text

    def test_is_nacked_where_that_topic_cannot_be_reached(self, deliver: Deliver) -> None:
        delivery = deliver(BROKEN)

        deliver_broken(delivery, send_to_dead_letters=raising(OSError("away")))

        assert delivery.settlements() == ["nack"]

    @pytest.mark.usefixtures("no_middleware")
    def test_without_logged_payloads_it_is_nacked(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver(BROKEN)

        deliver_broken(delivery, logs_payloads=False)

        assert delivery.settlements() == ["nack"]
        [record] = caplog.records
        assert record.levelname == "ERROR"
        for expected in ("message-1", "8 bytes", hashlib.sha256(BROKEN).hexdigest()):
            assert expected in record.getMessage()
        assert "secret" not in caplog.text
