from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal
from typing import Any

import pytest

import rele
import rele.testing
from rele import Batch, BatchMessage, DeadLetterPolicy, Subscription, config
from rele.exceptions import DeadLetter, DecodeError, Drop, Retry
from rele.middleware import BaseMiddleware
from rele.runtime.in_use import IN_USE
from rele.testing import Delivery, adeliver, deliver
from tests.support.in_use import without_django
from tests.support.recorder import Recorder, raising


@pytest.fixture
def handler() -> Recorder:
    return Recorder("done")


@pytest.fixture
def hooks(hooks: Recorder) -> Recorder:
    """The only middleware that is registered, as by a project that is set up."""
    config.init_global_publisher(config.Config({}))
    return hooks


def test_a_message_that_is_handled_is_acked_and_has_the_result(handler: Recorder) -> None:
    delivery = deliver(Subscription(handler, "photos"), {"id": 1}, lang="en", published_at="2.5")

    assert delivery == Delivery(
        acked=True, nacked=False, exception=None, result="done", handled=True
    )
    assert handler.calls == [({"id": 1}, {"lang": "en", "published_at": 2.5})]


@pytest.mark.parametrize("not_one", [raising(KeyError()), Subscription])
def test_what_is_no_subscription_is_refused(not_one: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a subscription, which `@sub\(topic=…\)` makes"):
        deliver(not_one, {"id": 1})


def test_published_at_is_now_where_it_is_not_given(handler: Recorder) -> None:
    before = time.time()

    deliver(Subscription(handler, "photos"), 1)

    [(_, attributes)] = handler.calls
    assert before <= attributes["published_at"] <= time.time()


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(1), KeyboardInterrupt()])
def test_a_message_that_fails_is_nacked_and_has_the_exception(error: BaseException) -> None:
    delivery = deliver(Subscription(raising(error), "photos"), 1)

    assert delivery == Delivery(acked=False, nacked=True, exception=error, result=None)


def test_a_handler_steers_its_message_as_in_the_worker() -> None:
    dropped = deliver(Subscription(raising(Drop()), "photos"), 1)
    again = deliver(Subscription(raising(Retry(30)), "photos"), 1)

    assert (dropped.acked, dropped.nacked) == (True, False)
    assert [dropped.handled, dropped.filtered, dropped.duplicate] == [False] * 3
    assert (again.acked, again.nacked) == (False, True)


@pytest.mark.parametrize("payload", [1, b"\xff"])
def test_a_dead_letter_is_reported(payload: Any) -> None:
    sub = Subscription(raising(DeadLetter()), "photos", dead_letter_policy=DeadLetterPolicy())

    delivery = deliver(sub, payload)

    assert delivery.acked
    assert delivery.dead_lettered


def test_a_dead_letter_without_a_policy_is_nacked() -> None:
    delivery = deliver(Subscription(raising(DeadLetter()), "photos"), 1)

    assert delivery.nacked
    assert not delivery.dead_lettered


def test_the_defaults_of_the_project_count() -> None:
    defaults = {"dead_letter_policy": DeadLetterPolicy()}
    config.init_global_publisher(config.Config({"SUBSCRIPTION_DEFAULTS": defaults}))

    assert deliver(Subscription(raising(DeadLetter()), "photos"), 1).dead_lettered


def test_a_message_that_a_filter_refuses_is_acked_unhandled(handler: Recorder) -> None:
    sub = Subscription(handler, "photos", filter_by=lambda **attributes: "lang" in attributes)

    assert deliver(sub, 1) == Delivery(
        acked=True, nacked=False, exception=None, result=None, filtered=True
    )
    passed = deliver(sub, 1, lang="en")
    assert (passed.result, passed.handled, passed.filtered) == ("done", True, False)


def test_the_filters_of_another_sub_say_nothing_about_the_message(handler: Recorder) -> None:
    other = Subscription(handler, "thumbs", filter_by=lambda **attributes: False)
    sub = Subscription(lambda data, **attributes: other(data), "photos")

    delivery = deliver(sub, 1)

    assert (delivery.handled, delivery.filtered) == (True, False)


@pytest.mark.parametrize("error", [ValueError("boo"), Drop(), Retry(3)], ids=repr)
def test_what_a_message_fails_with_can_be_raised(hooks: Recorder, error: Exception) -> None:
    sub = Subscription(raising(error), "photos")

    with pytest.raises(type(error)) as raised:
        deliver(sub, 1, raise_exceptions=True)

    assert raised.value is error
    assert hooks.names[-2:] == ["post_process_message_failure", "post_process_message"]


def test_nothing_is_raised_for_a_message_that_is_handled(handler: Recorder) -> None:
    assert deliver(Subscription(handler, "photos"), 1, raise_exceptions=True).handled


def test_bytes_are_the_payload_itself(handler: Recorder) -> None:
    sub = Subscription(handler, "photos")

    assert deliver(sub, b'{"id": 1}').result == "done"
    undecodable = deliver(sub, b"\xff")

    assert handler.calls[0][0] == {"id": 1}
    assert isinstance(undecodable.exception, DecodeError)
    assert undecodable.acked


@pytest.mark.parametrize(
    ("method", "acked", "nacked"),
    [
        ("ack", True, False),
        ("ack_with_response", True, False),
        ("nack", False, True),
        ("nack_with_response", False, True),
        ("drop", False, True),
    ],
)
def test_a_hook_may_settle_the_message(
    hooks: Recorder, method: str, acked: bool, nacked: bool
) -> None:
    hooks.actions["post_process_message_failure"] = lambda sub, error, start, message: getattr(
        message, method
    )()

    delivery = deliver(Subscription(raising(ValueError()), "photos"), 1)

    assert (delivery.acked, delivery.nacked) == (acked, nacked)


def test_the_message_has_an_id_a_time_and_the_ordering_key(
    hooks: Recorder, handler: Recorder
) -> None:
    before = time.time() - 1
    for _ in range(2):
        deliver(Subscription(handler, "photos"), 1, ordering_key="c-1", lang="en")

    first, second = (call[2] for call in hooks.calls if call[0] == "pre_process_message")
    assert first.message_id != second.message_id
    assert first.ordering_key == "c-1"
    assert dict(first.attributes).keys() == {"lang", "published_at"}
    assert before <= first.publish_time.timestamp() <= time.time() + 1


class Noted(BaseMiddleware):
    handled: list[Any] = []  # noqa: RUF012 - shared, to be looked at

    def post_process_message_success(self, *args: Any) -> None:
        self.handled.append(args)


def test_the_middleware_and_the_encoder_of_the_project_are_used(
    settings: Any, handler: Recorder
) -> None:
    Noted.handled.clear()
    settings.RELE = {
        "MIDDLEWARE": [f"{__name__}.Noted"],
        "ENCODER_PATH": "django.core.serializers.json.DjangoJSONEncoder",
    }

    deliver(Subscription(handler, "photos"), {"total": Decimal("1.50")})

    assert handler.calls[0][0] == {"total": "1.50"}
    assert len(Noted.handled) == 1


def test_the_decoder_of_the_project_is_used(settings: Any, handler: Recorder) -> None:
    settings.RELE = {"DECODER_PATH": f"{__name__}.in_capitals"}

    deliver(Subscription(handler, "photos"), "a")
    deliver(Subscription(handler, "photos", codec="bytes"), "a")

    assert [data for data, _ in handler.calls] == [b'"A"', b'"a"']


def in_capitals(payload: bytes) -> bytes:
    return payload.upper()


def test_neither_project_nor_settings_are_needed(
    handler: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    without_django(monkeypatch)
    monkeypatch.chdir(tmp_path)

    assert deliver(Subscription(handler, "photos"), {"id": 1}).acked
    assert not IN_USE.middleware


def test_a_handler_may_publish_meanwhile(rele_messages: list[Any]) -> None:
    sub = Subscription(lambda data, **attributes: rele.publish("thumbs", data), "photos")

    delivery = deliver(sub, 1)

    assert delivery.result.result(timeout=0) == "1"
    assert [message.topic for message in rele_messages] == ["thumbs"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'rele\.testing' has no attribute 'deliv'"):
        _ = rele.testing.deliv


class TestBatches:
    def test_each_message_of_a_batch_is_delivered(self) -> None:
        def handle(messages: list[BatchMessage]) -> str:
            messages[1].nack(ValueError("boo"))
            return "done"

        delivery = deliver(batches_of(handle), [1, b"\xff", {"id": 3}, 4], lang="en")

        assert not delivery.acked
        assert delivery.nacked
        assert [each.acked for each in delivery.messages] == [True, True, False, True]
        assert [each.handled for each in delivery.messages] == [True, False, False, True]
        assert [each.result for each in delivery.messages] == ["done", None, None, "done"]
        assert isinstance(delivery.messages[1].exception, DecodeError)
        assert str(delivery.messages[2].exception) == "boo"

    def test_an_attribute_may_differ(self) -> None:
        seen: list[Any] = []
        subscription = batches_of(
            lambda messages: seen.extend((each.ordering_key, each.attributes) for each in messages)
        )

        deliver(subscription, [1, 2], ordering_key=["a", "b"], lang=["en", "es"], country="ES")

        assert [key for key, _ in seen] == ["a", "b"]
        assert [of["lang"] for _, of in seen] == ["en", "es"]
        assert [of["country"] for _, of in seen] == ["ES", "ES"]

    def test_what_it_fails_with_may_be_raised(self) -> None:
        with pytest.raises(ValueError, match="boo"):
            deliver(batches_of(raising(ValueError("boo"))), [1, 2], raise_exceptions=True)

    @pytest.mark.parametrize("data", [1, "text", b"1", []])
    def test_it_takes_a_list(self, data: Any) -> None:
        with pytest.raises(ValueError, match="deliver a list with the data of each message"):
            deliver(batches_of(print), data)

    def test_the_lists_have_one_length(self) -> None:
        with pytest.raises(ValueError, match="'lang' has 1 values for 2 messages"):
            deliver(batches_of(print), [1, 2], lang=["en"])


def batches_of(handler: Any) -> Subscription:
    return Subscription(handler, "photos", batch=Batch())


class TestAsyncHandlers:
    @staticmethod
    async def handle(data: Any, **attributes: Any) -> Any:
        await asyncio.sleep(0)
        return data, attributes["lang"]

    def test_one_is_awaited(self) -> None:
        delivery = deliver(Subscription(self.handle, "orders"), 1, lang="de")

        assert (delivery.result, delivery.acked) == ((1, "de"), True)

    def test_an_async_test_awaits_the_delivery(self) -> None:
        delivery = asyncio.run(adeliver(Subscription(self.handle, "orders"), 1, lang="de"))

        assert (delivery.result, delivery.acked) == ((1, "de"), True)

    def test_it_runs_in_the_loop_of_the_test(self) -> None:
        async def loop(data: Any, **attributes: Any) -> Any:
            return asyncio.get_running_loop()

        async def main() -> bool:
            delivery = await adeliver(Subscription(loop, "orders"), 1)
            return delivery.result is asyncio.get_running_loop()

        assert asyncio.run(main())

    def test_a_sync_handler_is_delivered_to_as_well(self, handler: Recorder) -> None:
        assert asyncio.run(adeliver(Subscription(handler, "orders"), 1)).handled

    def test_what_it_fails_with_can_be_raised(self) -> None:
        with pytest.raises(KeyError, match="lang"):
            deliver(Subscription(self.handle, "orders"), 1, raise_exceptions=True)
        with pytest.raises(KeyError, match="lang"):
            asyncio.run(adeliver(Subscription(self.handle, "orders"), 1, raise_exceptions=True))

    def test_a_delivery_that_would_block_the_loop_is_refused_with_the_remedy(self) -> None:
        async def main() -> None:
            deliver(Subscription(self.handle, "orders"), 1)

        with pytest.raises(RuntimeError, match=r"await adeliver"):
            asyncio.run(main())

    @pytest.mark.parametrize("asgiref", [True, False])
    def test_an_async_test_delivers_a_batch(
        self, monkeypatch: pytest.MonkeyPatch, asgiref: bool
    ) -> None:
        if not asgiref:
            monkeypatch.delitem(sys.modules, "asgiref.sync", raising=False)

        async def handle(messages: list[Any]) -> list[Any]:
            await asyncio.sleep(0)
            return [message.data for message in messages]

        orders = Subscription(handle, "orders", batch=rele.Batch())

        delivery = asyncio.run(adeliver(orders, [1, 2]))

        assert (delivery.result, delivery.acked) == ([1, 2], True)
