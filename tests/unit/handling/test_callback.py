from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import pytest
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus

import rele
from rele import Callback, Subscription
from rele.exceptions import DecodeError
from rele.handling.settlement import SettlementPolicy
from rele.messages.codec import decode, decoder
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder, raising

Deliver = Callable[..., Delivery]


@pytest.fixture
def handler() -> Recorder:
    return Recorder(result="done")


class TestCallback:
    def test_success_is_acked_before_the_success_hook(
        self, hooks: Recorder, deliver: Deliver, handler: Recorder
    ) -> None:
        delivery = deliver(b'{"id": 1}', lang="en")
        seen: list[list[str]] = []
        hooks.actions["post_process_message_success"] = lambda *_: seen.append(
            delivery.settlements()
        )
        subscription = Subscription(handler, "photos")
        before = time.time()

        result = Callback(subscription)(delivery.message)

        assert result == "done"
        assert handler.calls == [({"id": 1}, {"lang": "en"})]
        assert seen == [["ack"]]
        assert delivery.settlements() == []
        assert hooks.names == [
            "pre_process_message",
            "post_process_message_success",
            "post_process_message",
        ]
        assert hooks.calls[0] == ("pre_process_message", subscription, delivery.message)
        _, start_time, message = hooks.arguments_of("post_process_message_success")
        assert message is delivery.message
        assert before <= start_time <= time.time()

    def test_failure_runs_the_failure_hook_and_then_nacks(
        self, hooks: Recorder, deliver: Deliver
    ) -> None:
        delivery = deliver()
        seen: list[list[str]] = []
        hooks.actions["post_process_message_failure"] = lambda *_: seen.append(
            delivery.settlements()
        )
        error = ValueError("broken")
        subscription = Subscription(raising(error), "photos")

        result = Callback(subscription)(delivery.message)

        assert result is None
        assert seen == [[]]
        assert delivery.settlements() == ["nack"]
        assert hooks.names == [
            "pre_process_message",
            "post_process_message_failure",
            "post_process_message",
        ]
        failed, exception, start_time, message = hooks.arguments_of("post_process_message_failure")
        assert (failed, exception, message) == (subscription, error, delivery.message)
        assert start_time <= time.time()

    def test_with_a_pause_a_failed_message_is_delayed_instead_of_nacked(
        self, deliver: Deliver
    ) -> None:
        delivery = deliver()

        subscription = Subscription(raising(ValueError()), "photos")

        policy = SettlementPolicy(subscription, failure_pause=10)
        Callback(subscription, policy=policy)(delivery.message)

        drop, extension = delivery.requests()
        assert extension.seconds == 10
        assert type(drop).__name__ == "DropRequest"

    def test_with_a_pause_a_message_that_a_hook_settles_is_left_alone(
        self, hooks: Recorder, deliver: Deliver
    ) -> None:
        delivery = deliver()
        hooks.actions["post_process_message_failure"] = lambda *_: delivery.message.ack()

        subscription = Subscription(raising(ValueError()), "photos")

        policy = SettlementPolicy(subscription, failure_pause=10)
        Callback(subscription, policy=policy)(delivery.message)

        assert delivery.settlements() == ["ack"]

    @pytest.mark.parametrize(
        "error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), BaseException("odd")]
    )
    def test_a_handler_may_raise_anything(
        self, hooks: Recorder, deliver: Deliver, error: BaseException
    ) -> None:
        delivery = deliver()

        Callback(Subscription(raising(error), "photos"))(delivery.message)

        assert delivery.settlements() == ["nack"]
        assert hooks.arguments_of("post_process_message_failure")[1] is error

    def test_a_filter_that_raises_fails_the_message(
        self, hooks: Recorder, deliver: Deliver, handler: Recorder
    ) -> None:
        delivery = deliver()
        error = SystemExit(1)
        subscription = Subscription(handler, "photos", filter_by=raising(error))

        Callback(subscription)(delivery.message)

        assert handler.calls == []
        assert delivery.settlements() == ["nack"]
        assert hooks.arguments_of("post_process_message_failure")[1] is error

    def test_a_message_that_is_filtered_out_is_acked(
        self, hooks: Recorder, deliver: Deliver, handler: Recorder
    ) -> None:
        delivery = deliver()

        Callback(Subscription(handler, "photos", filter_by=lambda attrs: False))(delivery.message)

        assert handler.calls == []
        assert delivery.settlements() == ["ack"]

    @pytest.mark.parametrize("payload", [b"\xff\xfe", b"{not json", b""])
    def test_bytes_that_cannot_be_decoded_are_logged_and_acked_after_the_failure_hook(
        self,
        hooks: Recorder,
        deliver: Deliver,
        handler: Recorder,
        payload: bytes,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        delivery = deliver(payload)
        seen: list[list[str]] = []
        hooks.actions["post_process_message_failure"] = lambda *_: seen.append(
            delivery.settlements()
        )

        Callback(Subscription(handler, "photos"))(delivery.message)

        assert handler.calls == []
        assert seen == [[]]
        assert delivery.settlements() == ["ack"]
        assert isinstance(hooks.arguments_of("post_process_message_failure")[1], DecodeError)
        [record] = caplog.records
        assert record.levelname == "ERROR"
        assert "message-1 of photos - Recorder is acknowledged unhandled" in record.getMessage()
        assert repr(payload) in record.getMessage()

    @pytest.mark.parametrize("payload", [b"", b"\xff\x00", b'{"a": 1}'])
    def test_the_handler_gets_bytes_if_the_subscription_asks_for_them(
        self, hooks: Recorder, deliver: Deliver, handler: Recorder, payload: bytes
    ) -> None:
        delivery = deliver(payload)

        Callback(Subscription(handler, "photos", codec="bytes"))(delivery.message)

        assert handler.calls == [(payload, {})]
        assert delivery.settlements() == ["ack"]

    def test_what_a_codec_cannot_read_is_settled_as_undecodable(
        self,
        hooks: Recorder,
        deliver: Deliver,
        handler: Recorder,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        delivery = deliver(b"x")
        subscription = Subscription(handler, "photos", codec=int)

        Callback(subscription)(delivery.message)

        assert handler.calls == []
        assert delivery.settlements() == ["ack"]
        error = hooks.arguments_of("post_process_message_failure")[1]
        assert isinstance(error, DecodeError)
        assert "is acknowledged unhandled: The codec builtins.int cannot read" in caplog.text

    def test_without_the_payload_in_the_log_nothing_of_it_is_told(
        self, deliver: Deliver, handler: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        delivery = deliver(b"secret")
        subscription = Subscription(handler, "photos")
        policy = SettlementPolicy(subscription, logs_payloads=False, decode=decoder(int))

        with caplog.at_level("ERROR", "rele.handling"):
            Callback(subscription, policy=policy)(delivery.message)

        assert delivery.settlements() == ["nack"]
        [record] = [each for each in caplog.records if each.name.startswith("rele.handling")]
        assert "is nacked: its codec cannot read it." in record.getMessage()
        assert "secret" not in record.getMessage()

    def test_another_error_of_a_codec_is_a_failure_like_any_other(
        self, hooks: Recorder, deliver: Deliver, handler: Recorder
    ) -> None:
        delivery = deliver(b"x")
        error = KeyError("schema")

        Callback(Subscription(handler, "photos", codec=raising(error)))(delivery.message)

        assert handler.calls == []
        assert delivery.settlements() == ["nack"]
        assert hooks.arguments_of("post_process_message_failure")[1] is error

    def test_a_json_error_of_the_handler_is_no_undecodable_payload(
        self, hooks: Recorder, deliver: Deliver
    ) -> None:
        delivery = deliver()

        Callback(Subscription(raising(UnicodeDecodeError("utf-8", b"", 0, 1, "")), "photos"))(
            delivery.message
        )

        assert delivery.settlements() == ["nack"]

    @pytest.mark.parametrize("by_filter", [False, True])
    def test_a_decode_error_of_the_handler_or_a_filter_is_a_failure_like_any_other(
        self, hooks: Recorder, deliver: Deliver, caplog: pytest.LogCaptureFixture, by_filter: bool
    ) -> None:
        def decode_what_is_inside(*args: Any, **attributes: Any) -> Any:
            return decode(b"no JSON")

        subscription = Subscription(
            print if by_filter else decode_what_is_inside,
            "photos",
            filter_by=decode_what_is_inside if by_filter else None,
        )
        put_there: list[Any] = []
        policy = SettlementPolicy(
            subscription, send_to_dead_letters=lambda message, _: put_there.append(message)
        )
        delivery = deliver()

        Callback(subscription)(delivery.message)
        assert delivery.settlements() == ["nack"]

        with_dead_letters = deliver()
        Callback(subscription, policy=policy)(with_dead_letters.message)
        assert with_dead_letters.settlements() == ["nack"]
        assert put_there == []
        error = hooks.calls[-2][2]
        assert isinstance(error, DecodeError)
        assert "acknowledged unhandled" not in caplog.text

    @pytest.mark.parametrize(
        "method", ["ack", "nack", "drop", "ack_with_response", "nack_with_response"]
    )
    @pytest.mark.parametrize("hook", ["pre_process_message", "post_process_message_failure"])
    def test_a_hook_that_settles_the_message_is_respected(
        self, hooks: Recorder, deliver: Deliver, hook: str, method: str
    ) -> None:
        delivery = deliver()
        hooks.actions[hook] = lambda *_: getattr(delivery.message, method)()

        Callback(Subscription(raising(ValueError()), "photos"))(delivery.message)

        assert delivery.settlements() == [method.removesuffix("_with_response")]

    def test_a_handler_that_settles_the_message_is_respected(
        self, hooks: Recorder, deliver: Deliver
    ) -> None:
        delivery = deliver()

        Callback(Subscription(lambda data, **attrs: delivery.message.nack(), "photos"))(
            delivery.message
        )

        assert delivery.settlements() == ["nack"]
        assert "post_process_message_success" in hooks.names

    @pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(1)])
    @pytest.mark.parametrize(
        "hook",
        ["pre_process_message", "post_process_message_success", "post_process_message"],
    )
    def test_a_hook_that_raises_changes_nothing_for_the_message(
        self,
        hooks: Recorder,
        deliver: Deliver,
        handler: Recorder,
        hook: str,
        error: BaseException,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        hooks.actions[hook] = raising(error)
        delivery = deliver()

        assert Callback(Subscription(handler, "photos"))(delivery.message) == "done"

        assert delivery.settlements() == ["ack"]
        assert hooks.names[-1] == "post_process_message"
        assert hook in caplog.text

    @pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(1)])
    def test_a_failure_hook_that_raises_leaves_the_nack(
        self, hooks: Recorder, deliver: Deliver, error: BaseException
    ) -> None:
        hooks.actions["post_process_message_failure"] = raising(error)
        delivery = deliver()

        Callback(Subscription(raising(ValueError()), "photos"))(delivery.message)

        assert delivery.settlements() == ["nack"]

    @pytest.mark.parametrize("error", [ValueError(), SystemExit(1)])
    def test_an_ack_that_raises_is_logged_and_stays_inside(
        self,
        hooks: Recorder,
        deliver: Deliver,
        handler: Recorder,
        error: BaseException,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        delivery = deliver()
        monkeypatch.setattr(delivery.google_message, "ack", raising(error))

        assert Callback(Subscription(handler, "photos"))(delivery.message) == "done"

        assert "A message of photos - Recorder could not be settled" in caplog.text
        assert hooks.names[-1] == "post_process_message"

    def test_the_attributes_are_the_handlers_own(self, hooks: Recorder, deliver: Deliver) -> None:
        delivery = deliver(lang="en")

        def clear(data: Any, **attributes: Any) -> None:
            attributes.clear()

        Callback(Subscription(clear, "photos"))(delivery.message)

        assert dict(delivery.message.attributes) == {"lang": "en"}

    @pytest.mark.usefixtures("no_middleware")
    def test_handles_a_message_without_middleware(
        self, deliver: Deliver, handler: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        delivery = deliver()

        assert Callback(Subscription(handler, "photos"), suffix="any")(delivery.message) == "done"

        assert delivery.settlements() == ["ack"]
        assert [record for record in caplog.records if record.name.startswith("rele")] == []


class TestExactlyOnce:
    """A subscription with it acknowledges with the response, and waits for it."""

    @pytest.fixture
    def subscription(self) -> Subscription:
        return Subscription(Recorder(), "photos", enable_exactly_once_delivery=True)

    def test_success_is_an_ack_with_response(
        self, hooks: Recorder, deliver: Deliver, subscription: Subscription
    ) -> None:
        delivery = deliver()

        Callback(subscription)(delivery.message)

        assert delivery.settlements() == ["ack"]
        assert hooks.names == [
            "pre_process_message",
            "post_process_message_success",
            "post_process_message",
        ]

    def test_an_ack_that_fails_runs_the_hook_and_is_logged(
        self,
        hooks: Recorder,
        deliver: Deliver,
        subscription: Subscription,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        delivery = deliver()
        error = AcknowledgeError(AcknowledgeStatus.INVALID_ACK_ID, "too late")
        failed: Future[Any] = Future()
        failed.set_exception(error)
        monkeypatch.setattr(delivery.google_message, "ack_with_response", lambda: failed)

        Callback(subscription)(delivery.message)

        assert hooks.names == [
            "pre_process_message",
            "post_ack_failure",
            "post_process_message_success",
            "post_process_message",
        ]
        assert hooks.arguments_of("post_ack_failure") == (subscription, error, delivery.message)
        [record] = caplog.records
        assert record.levelname == "ERROR"
        assert "The acknowledgement of the message message-1" in record.getMessage()
        assert "INVALID_ACK_ID" in record.getMessage()

    def test_an_answer_that_does_not_come_is_a_failure_too(
        self,
        hooks: Recorder,
        deliver: Deliver,
        subscription: Subscription,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("rele.handling.settlement.ACK_TIMEOUT", 0.01)
        delivery = deliver()
        monkeypatch.setattr(delivery.google_message, "ack_with_response", Future)

        Callback(subscription)(delivery.message)

        assert isinstance(hooks.arguments_of("post_ack_failure")[1], FutureTimeoutError)

    def test_the_ack_of_a_hook_is_confirmed_as_well(
        self, hooks: Recorder, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subscription = Subscription(
            raising(ValueError()), "photos", enable_exactly_once_delivery=True
        )
        delivery = deliver()
        hooks.actions["post_process_message_failure"] = lambda *_: delivery.message.ack()
        failed: Future[Any] = Future()
        failed.set_exception(AcknowledgeError(AcknowledgeStatus.PERMISSION_DENIED, None))
        monkeypatch.setattr(delivery.google_message, "ack_with_response", lambda: failed)

        Callback(subscription)(delivery.message)

        assert "post_ack_failure" in hooks.names

    def test_a_nacked_message_has_nothing_to_confirm(
        self, hooks: Recorder, deliver: Deliver
    ) -> None:
        subscription = Subscription(
            raising(ValueError()), "photos", enable_exactly_once_delivery=True
        )
        delivery = deliver()

        Callback(subscription)(delivery.message)

        assert delivery.settlements() == ["nack"]
        assert "post_ack_failure" not in hooks.names


class TestCurrentMessage:
    def test_is_the_one_that_is_handled(self, deliver: Deliver) -> None:
        seen: list[rele.ReceivedMessage | None] = []
        subscription = Subscription(
            lambda data, **attributes: seen.append(rele.current_message()), "photos"
        )
        delivery = deliver(lang="en")

        Callback(subscription)(delivery.message)

        [current] = seen
        assert current is not None
        assert (current.id, current.attributes) == ("message-1", {"lang": "en"})
        assert current.publish_time == delivery.message.publish_time
        assert (current.delivery_attempt, current.ordering_key) == (None, "")
        assert current.subscription is subscription

    def test_hooks_and_filters_see_it_too(self, hooks: Recorder, deliver: Deliver) -> None:
        seen: list[str] = []

        def look(*args: Any) -> bool:
            current = rele.current_message()
            assert current is not None
            seen.append(current.id)
            return True

        hooks.actions = dict.fromkeys(["pre_process_message", "post_process_message"], look)

        Callback(Subscription(Recorder(), "photos", filter_by=look))(deliver().message)

        assert seen == ["message-1"] * 3

    def test_there_is_none_elsewhere(self, deliver: Deliver) -> None:
        Callback(Subscription(raising(ValueError()), "photos"))(deliver().message)

        assert rele.current_message() is None
