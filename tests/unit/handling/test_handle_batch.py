"""What becomes of the messages of a batch."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timezone
from typing import Any

import pytest

from rele import BatchMessage, Callback, PartialFailure, Subscription, current_message
from rele.declaration.batch import Batch
from rele.engine.base import Message, Settlement
from rele.exceptions import DeadLetter, DecodeError, Drop, OrderingKeyFailed, Retry
from rele.handling.handle_batch import BatchRun, handle_batch
from rele.handling.settlement import SettlementPolicy
from rele.messages.codec import decoder
from rele.middleware import BaseMiddleware, needed_if
from tests.support.in_use import register
from tests.support.recorder import Recorder, raising

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Received(Message):
    """A message that notes how it was settled."""

    def __init__(self, number: int, data: bytes, key: str = "", **attributes: str) -> None:
        super().__init__()
        self.message_id = str(number)
        self.data = data
        self.attributes = attributes
        self.ordering_key = key
        self.publish_time = NOW
        self.delivery_attempt = None
        self.calls: list[Any] = []
        self.responses: list[Future[Any]] = []

    def modify_ack_deadline(self, seconds: int) -> None:
        self.calls.append(seconds)

    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        raise AssertionError("no test asks for it")

    def _send(self, settlement: Settlement, with_response: bool) -> Any:
        self.calls.append(settlement)
        if with_response:
            self.responses.append(Future())
            return self.responses[-1]
        return None


Handler = Callable[[list[BatchMessage]], Any]


def batch_of(*keys: str) -> list[Received]:
    return [Received(number, b"%d" % number, key) for number, key in enumerate(keys)]


def subscription_of(handler: Handler, **arguments: Any) -> Subscription:
    return Subscription(handler, "orders", batch=Batch(), **arguments)


def run(handler: Handler, messages: list[Received], **policy: Any) -> BatchRun:
    subscription = subscription_of(handler)
    return handle_batch(messages, subscription, SettlementPolicy(subscription, **policy))


def settled(messages: list[Received]) -> list[Settlement | None]:
    return [message.settled_as for message in messages]


def test_the_handler_gets_all_messages_in_order() -> None:
    seen: list[BatchMessage] = []
    messages = [
        Received(1, b'{"id": 1}', "key", lang="en"),
        Received(2, b"[2]"),
    ]

    done = run(lambda batch: seen.extend(batch) or "done", messages)

    assert done.result == "done"
    assert [each.data for each in seen] == [{"id": 1}, [2]]
    assert [each.raw for each in seen] == [b'{"id": 1}', b"[2]"]
    assert [each.id for each in seen] == ["1", "2"]
    assert [each.ordering_key for each in seen] == ["key", ""]
    assert seen[0].attributes == {"lang": "en"}
    assert seen[0].publish_time == NOW
    assert seen[0].delivery_attempt is None
    assert settled(messages) == ["ack", "ack"]


def test_an_error_nacks_all() -> None:
    messages = batch_of("", "")

    done = run(raising(ValueError("boo")), messages)

    assert settled(messages) == ["nack", "nack"]
    assert [str(outcome.error) for outcome in done.outcomes()] == ["boo", "boo"]


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (Retry(30), [["drop", 30], ["drop", 30]]),
        (Drop(), [["ack"], ["ack"]]),
        (DeadLetter(), [["ack"], ["ack"]]),
    ],
    ids=repr,
)
def test_a_decision_applies_to_all(error: Exception, calls: list[Any]) -> None:
    messages = batch_of("", "")
    dead: list[Message] = []

    run(raising(error), messages, send_to_dead_letters=lambda message, _: dead.append(message))

    assert [message.calls for message in messages] == calls
    assert dead == (messages if isinstance(error, DeadLetter) else [])


def test_a_partial_failure_separates_messages() -> None:
    messages = batch_of(*[""] * 5)

    def handler(batch: list[BatchMessage]) -> None:
        raise PartialFailure({batch[1]: ValueError("boo"), batch[2]: Retry(30), batch[3]: Drop()})

    done = run(handler, messages)

    assert [message.calls for message in messages] == [
        ["ack"],
        ["nack"],
        ["drop", 30],
        ["ack"],
        ["ack"],
    ]
    assert [type(outcome.error).__name__ for outcome in done.outcomes()] == [
        "NoneType",
        "ValueError",
        "Retry",
        "Drop",
        "NoneType",
    ]


def test_a_nack_separates_a_message() -> None:
    messages = batch_of("", "", "")

    def handler(batch: list[BatchMessage]) -> None:
        batch[0].nack()
        batch[1].nack(Retry(7))

    run(handler, messages)

    assert [message.calls for message in messages] == [["nack"], ["drop", 7], ["ack"]]


def test_an_ack_counts_although_the_handler_raises_later() -> None:
    messages = batch_of("", "")

    def handler(batch: list[BatchMessage]) -> None:
        batch[0].ack()
        raise ValueError

    run(handler, messages)

    assert settled(messages) == ["ack", "nack"]


def test_the_last_word_of_a_handler_counts() -> None:
    messages = batch_of("", "")

    def handler(batch: list[BatchMessage]) -> None:
        batch[0].ack()
        batch[0].nack()
        batch[1].nack()
        batch[1].ack()

    run(handler, messages)

    assert settled(messages) == ["nack", "ack"]


@pytest.mark.parametrize("name", [lambda batch: batch[0].id, lambda batch: object()])
def test_a_partial_failure_that_names_something_else_fails_all(
    name: Callable[[list[BatchMessage]], Any],
) -> None:
    messages = batch_of("", "")

    def handler(batch: list[BatchMessage]) -> None:
        raise PartialFailure({name(batch): ValueError(), batch[1]: Drop()})

    done = run(handler, messages)

    assert settled(messages) == ["nack", "nack"]
    assert "is no message of its batch" in str(done.error)


def test_a_result_that_would_have_to_be_awaited_fails_all() -> None:
    messages = batch_of("", "")

    done = run(lambda batch: (each for each in batch), messages)

    assert settled(messages) == ["nack", "nack"]
    assert "returned a generator" in str(done.error)


def test_what_cannot_be_decoded_does_not_reach_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[Any] = []
    messages = [Received(1, b"\xff"), Received(2, b"2")]

    done = run(lambda batch: seen.extend(each.data for each in batch), messages)

    assert seen == [2]
    assert settled(messages) == ["ack", "ack"]
    assert isinstance(done.errors[messages[0]], DecodeError)
    assert "The message 1 of orders" in caplog.text


@pytest.mark.parametrize(
    ("error", "accepted", "calls"),
    [
        (ValueError(), {0, 1, 2}, [["ack"], ["ack"], ["ack"]]),
        (ValueError(), {0}, [["ack"], ["nack"], ["nack"]]),
        (DeadLetter(), {0}, [["ack"], ["nack"], ["nack"]]),
    ],
    ids=["all accepted", "one refused", "asked for"],
)
def test_once_a_dead_letter_is_refused_the_rest_of_the_batch_is_nacked_at_once(
    error: Exception, accepted: set[int], calls: list[Any]
) -> None:
    """An outage would cost each of them as long a wait."""
    messages = batch_of("", "", "")
    tried: list[int] = []

    def send(message: Message, failure: Any) -> None:
        tried.append(messages.index(message))
        if tried[-1] not in accepted:
            raise OSError("unavailable")

    for message in messages:
        message.delivery_attempt = 5
    run(raising(error), messages, send_to_dead_letters=send, max_attempts=5)

    assert [message.calls for message in messages] == calls
    assert tried == [0, 1, 2][: len(accepted) + 1]


def test_what_cannot_be_decoded_goes_to_the_dead_letters() -> None:
    messages = [Received(1, b"\xff"), Received(2, b"2")]
    dead: list[Message] = []

    run(lambda batch: None, messages, send_to_dead_letters=lambda message, _: dead.append(message))

    assert dead == messages[:1]


def test_filters_apply_before() -> None:
    seen: list[Any] = []
    messages = [
        Received(1, b"1", lang="en", published_at="17.5"),
        Received(2, b"2", lang="es", published_at="17.5"),
    ]
    subscription = subscription_of(
        lambda batch: seen.extend(batch),
        filter_by=lambda **of: (of["lang"], of["published_at"]) == ("en", 17.5),
    )

    done = handle_batch(messages, subscription, SettlementPolicy(subscription))

    assert [each.id for each in seen] == ["1"]
    assert seen[0].attributes["published_at"] == "17.5", "as it was published"
    assert settled(messages) == ["ack", "ack"]
    assert [outcome.skipped for outcome in done.outcomes()] == [None, "filtered"]


def test_a_filter_that_fails_fails_its_message_alone() -> None:
    messages = [Received(1, b"1"), Received(2, b"2", lang="es")]
    subscription = subscription_of(lambda batch: None, filter_by=lambda **of: of["lang"])

    handle_batch(messages, subscription, SettlementPolicy(subscription))

    assert settled(messages) == ["nack", "ack"]


def test_where_nothing_is_left_the_handler_is_not_called() -> None:
    subscription = subscription_of(raising(AssertionError()), filter_by=lambda **others: False)
    messages = batch_of("", "")

    handle_batch(messages, subscription, SettlementPolicy(subscription))

    assert settled(messages) == ["ack", "ack"]


class TestOrderingKeys:
    def test_what_follows_a_failed_message_of_its_key_is_nacked(self) -> None:
        messages = batch_of("a", "a", "b", "a", "b", "")

        def handler(batch: list[BatchMessage]) -> None:
            batch[1].nack(ValueError())

        done = run(handler, messages)

        assert settled(messages) == ["ack", "nack", "ack", "nack", "ack", "ack"]
        assert isinstance(done.errors[messages[3]], OrderingKeyFailed)

    def test_it_is_nacked_whatever_its_own_error_asks_for(self) -> None:
        messages = batch_of("a", "a", "a")

        def handler(batch: list[BatchMessage]) -> None:
            raise PartialFailure({batch[0]: ValueError(), batch[1]: Drop(), batch[2]: Retry(60)})

        run(handler, messages)

        assert [message.calls for message in messages] == [["nack"], ["nack"], ["nack"]]

    def test_what_follows_one_that_was_dropped_is_acked_after_it(self) -> None:
        messages = batch_of("a", "a")
        order: list[str] = []
        for message in messages:
            message.calls = order

        def handler(batch: list[BatchMessage]) -> None:
            batch[0].nack(Drop())

        run(handler, messages)

        assert settled(messages) == ["ack", "ack"]

    def test_it_is_left_to_a_caller_that_settles_it(self) -> None:
        messages = batch_of("a", "a", "a")
        subscription = subscription_of(lambda batch: batch[0].nack())

        handle_batch(messages, subscription, SettlementPolicy(subscription), leaves_followers=True)

        assert settled(messages) == ["nack", None, None]


class TestExactlyOnce:
    def test_all_acks_are_sent_before_the_first_response_is_awaited(self) -> None:
        sent_when_awaited: list[int] = []

        class Response(Future):  # type: ignore[type-arg]
            def result(self, timeout: float | None = None) -> Any:
                sent_when_awaited.append(sum(len(each.calls) for each in messages))

        class Confirmed(Received):
            def _send(self, settlement: Settlement, with_response: bool) -> Any:
                super()._send(settlement, with_response)
                return Response()

        messages = [Confirmed(number, b"1") for number in range(3)]
        run(lambda batch: None, messages, confirms_acks=True)

        assert sent_when_awaited == [3, 3, 3]

    def test_an_ack_that_failed_is_reported_for_its_message(self, hooks: Recorder) -> None:
        class Failed(Received):
            def _send(self, settlement: Settlement, with_response: bool) -> Any:
                future = super()._send(settlement, with_response)
                if self.message_id == "1":
                    future.set_exception(RuntimeError("no"))
                else:
                    future.set_result(None)
                return future

        messages = [Failed(number, b"1") for number in range(2)]
        run(lambda batch: None, messages, confirms_acks=True)

        [failure] = [call for call in hooks.calls if call[0] == "post_ack_failure"]
        assert failure[3] is messages[1]


class TestHooks:
    def test_each_message_has_its_hooks_in_order(self, hooks: Recorder) -> None:
        messages = batch_of("", "", "")

        def handler(batch: list[BatchMessage]) -> None:
            batch[1].nack(ValueError())

        run(handler, messages)

        assert hooks.names == [
            *["pre_process_message"] * 3,
            "post_process_message_success",
            "post_process_message",
            "post_process_message_failure",
            "post_process_message",
            "post_process_message_success",
            "post_process_message",
            "post_process_batch",
        ]
        assert [call[2] for call in hooks.calls[:3]] == messages
        assert hooks.calls[5][-1] is messages[1]

    def test_the_hook_of_the_batch_gets_all_its_messages_once_they_are_settled(
        self, hooks: Recorder
    ) -> None:
        messages = batch_of("", "")
        seen: list[Any] = []
        hooks.actions["post_process_batch"] = lambda *args: seen.append(settled(args[-1]))
        before = time.time()

        run(lambda batch: batch[1].nack(), messages)

        assert seen == [["ack", "nack"]]
        given, start_time, its_messages = hooks.arguments_of("post_process_batch")
        assert given.topic == "orders"
        assert before <= start_time <= time.time()
        assert its_messages == messages

    def test_success_is_acked_before_its_hook_and_failure_nacked_after(
        self, hooks: Recorder
    ) -> None:
        messages = batch_of("", "")
        seen: list[Any] = []
        hooks.actions["post_process_message_success"] = lambda *args: seen.append(
            args[-1].settled_as
        )
        hooks.actions["post_process_message_failure"] = lambda *args: seen.append(
            args[-1].settled_as
        )

        run(lambda batch: batch[1].nack(), messages)

        assert seen == ["ack", None]
        assert settled(messages) == ["ack", "nack"]

    def test_a_hook_may_settle_a_failed_message(self, hooks: Recorder) -> None:
        messages = batch_of("a", "a")
        hooks.actions["post_process_message_failure"] = lambda *args: args[-1].ack()

        run(lambda batch: batch[0].nack(ValueError()), messages)

        assert settled(messages) == ["ack", "ack"], "so nothing of its key follows a failure"
        assert hooks.names.count("post_process_message_success") == 1

    def test_a_hook_that_fails_changes_nothing(
        self, hooks: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = batch_of("", "")
        for name in ("pre_process_message", "post_process_message_success"):
            hooks.actions[name] = raising(ValueError())

        run(lambda batch: None, messages)

        assert settled(messages) == ["ack", "ack"]
        assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 4

    def test_the_message_of_a_hook_is_the_current_one(self, hooks: Recorder) -> None:
        messages = batch_of("", "")
        seen: list[str | None] = []

        def note(*_: Any) -> None:
            message = current_message()
            seen.append(message and message.id)

        hooks.actions["pre_process_message"] = note
        hooks.actions["post_process_message"] = note
        run(note, messages)  # type: ignore[arg-type]

        assert seen == ["0", "1", None, "0", "1"]


def test_an_empty_partial_failure_is_refused() -> None:
    with pytest.raises(ValueError, match="names no message"):
        PartialFailure({})


def test_a_partial_failure_without_an_exception_is_refused() -> None:
    with pytest.raises(TypeError, match="needs an exception for each message, not 'bad'"):
        PartialFailure({1: "bad"})  # type: ignore[dict-item]


def test_json_is_decoded_as_for_a_single_message() -> None:
    content = {"größe": [1.5, None, True]}
    seen: list[Any] = []

    run(
        lambda batch: seen.extend(each.data for each in batch),
        [Received(1, json.dumps(content).encode())],
    )

    assert seen == [content]


def test_an_async_handler_is_awaited() -> None:
    messages = batch_of("", "")
    seen: list[Any] = []

    async def handler(batch: list[BatchMessage]) -> str:
        seen.extend(each.data for each in batch)
        batch[1].nack()
        return "done"

    done = run(handler, messages)

    assert done.result == "done"
    assert seen == [0, 1]
    assert settled(messages) == ["ack", "nack"]


def test_without_an_engine_that_gathers_a_batch_has_one_message() -> None:
    seen: list[list[Any]] = []
    message = Received(1, b"1")

    result = Callback(subscription_of(lambda batch: seen.append(batch) or "done"))(message)

    assert result == "done"
    assert [[each.id for each in batch] for batch in seen] == [["1"]]
    assert message.settled_as == "ack"


def test_bytes_are_handed_over_as_they_are() -> None:
    seen: list[Any] = []
    messages = [Received(1, b"\xff"), Received(2, b"2")]
    subscription = subscription_of(lambda batch: seen.extend(each.data for each in batch))
    policy = SettlementPolicy(subscription, decode=decoder("bytes"))

    handle_batch(messages, subscription, policy)

    assert seen == [b"\xff", b"2"]
    assert settled(messages) == ["ack", "ack"]


class Idle(BaseMiddleware):
    """Has a hook that is needed at times, and one that overrides such a hook."""

    calls: list[str] = []  # noqa: RUF012 - one for all instances
    is_needed = False

    @needed_if(lambda middleware: middleware.is_needed)
    def pre_process_message(self, *args: Any) -> None:
        self.calls.append("pre")


class NeverIdle(Idle):
    def pre_process_message(self, *args: Any) -> None:
        self.calls.append("overridden")


@pytest.mark.parametrize(
    ("middleware", "is_needed", "calls"),
    [
        (Idle, False, []),
        (Idle, True, ["pre", "pre"]),
        (NeverIdle, False, ["overridden", "overridden"]),
    ],
)
def test_a_hook_that_is_not_needed_is_not_called(
    monkeypatch: pytest.MonkeyPatch, middleware: type[Idle], is_needed: bool, calls: list[str]
) -> None:
    monkeypatch.setattr(Idle, "calls", [])
    monkeypatch.setattr(Idle, "is_needed", is_needed)
    register(middleware())

    run(lambda batch: None, batch_of("", ""))

    assert Idle.calls == calls
