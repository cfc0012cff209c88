from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from unittest.mock import Mock

import pytest
from google.api_core import exceptions

from rele.backends import Accepted, Deferred, Message, Refused
from rele.sending.publisher import Publisher
from tests.support.backends import HeldBackend
from tests.support.recorder import Recorder, raising


@pytest.fixture
def backend() -> Iterator[HeldBackend]:
    backend = HeldBackend()
    yield backend
    backend.settle_the_rest()


@pytest.fixture
def make_publisher(backend: HeldBackend) -> Callable[..., Publisher]:
    """Make a publisher on the test's backend."""

    def make(
        blocking: bool | None = None,
        timeout: float = 0.01,
        encoder: type[json.JSONEncoder] = json.JSONEncoder,
    ) -> Publisher:
        return Publisher(backend, encoder, timeout, blocking)

    return make


@pytest.fixture
def publisher(make_publisher: Callable[..., Publisher]) -> Publisher:
    return make_publisher()


class TestPublish:
    def test_hands_the_encoded_message_to_the_backend(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        before = time.time()

        publisher.publish("photos", {"id": 1}, lang="en", using="attribute")

        [message] = backend.messages
        published_at = message.attributes.pop("published_at")
        assert message.topic == "photos"
        assert json.loads(message.data) == {"id": 1}
        assert message.attributes == {"lang": "en", "using": "attribute"}
        assert message.ordering_key == ""
        assert before <= float(published_at) <= time.time()

    def test_takes_the_ordering_key_out_of_the_attributes(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        publisher.publish("photos", 1, ordering_key="customer-1")

        [message] = backend.messages
        assert message.ordering_key == "customer-1"
        assert list(message.attributes) == ["published_at"]

    def test_looks_the_time_up_when_it_is_called(
        self, publisher: Publisher, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1560244246.863829)

        publisher.publish("photos", 1)

        assert backend.messages[0].attributes == {"published_at": "1560244246.863829"}

    def test_encodes_by_the_encoder(
        self, make_publisher: Callable[..., Publisher], backend: HeldBackend
    ) -> None:
        class Encoder(json.JSONEncoder):
            def default(self, o: Any) -> Any:
                return "encoded"

        make_publisher(encoder=Encoder).publish("photos", object())

        assert backend.messages[0].data == b'"encoded"'

    def test_pre_publish_may_change_the_attributes(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = lambda topic, data, attrs: attrs.update(trace="t")

        publisher.publish("photos", 1)

        assert backend.messages[0].attributes["trace"] == "t"

    def test_what_pre_publish_raises_reaches_the_caller_and_nothing_is_sent(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = raising(ValueError("not this one"))

        with pytest.raises(ValueError, match="not this one"):
            publisher.publish("photos", 1)

        assert backend.messages == []
        assert hooks.names == ["pre_publish"]

    def test_that_does_not_block_runs_the_success_hook_in_the_thread_that_completes_it(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        threads: list[threading.Thread] = []
        hooks.actions["post_publish_success"] = lambda *_: threads.append(
            threading.current_thread()
        )
        future = publisher.publish("photos", {"id": 1}, lang="en")
        assert hooks.names == ["pre_publish"]

        sender = threading.Thread(target=backend.futures[0].set_result, args=["message-1"])
        sender.start()
        sender.join(10)

        assert future.result(timeout=0) == "message-1"
        assert threads == [sender]
        topic, data, attrs = hooks.arguments_of("post_publish_success")
        assert (topic, data, attrs["lang"]) == ("photos", {"id": 1}, "en")
        assert "post_publish_failure" not in hooks.names
        assert backend.flushes == []

    def test_that_does_not_block_runs_the_failure_hook_with_the_data(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        error = exceptions.PermissionDenied("no")
        future = publisher.publish("photos", {"id": 1})

        backend.futures[0].set_exception(error)

        assert future.exception() is error
        assert hooks.arguments_of("post_publish_failure") == ("photos", error, {"id": 1})
        assert "post_publish_success" not in hooks.names

    def test_that_blocks_runs_the_success_hook_here_before_it_returns(
        self, hooks: Recorder, make_publisher: Callable[..., Publisher], backend: HeldBackend
    ) -> None:
        threads: list[threading.Thread] = []
        hooks.actions["post_publish_success"] = lambda *_: threads.append(
            threading.current_thread()
        )
        backend.settles_at_flush = True
        backend.outcome = "message-1"

        future = make_publisher(timeout=10).publish("photos", 1, blocking=True)

        assert future.result(timeout=0) == "message-1"
        assert threads == [threading.current_thread()]
        assert backend.flushes == [0]

    @pytest.mark.parametrize("at_flush", [True, False])
    @pytest.mark.parametrize(
        "error",
        [
            exceptions.NotFound("no topic"),
            exceptions.RetryError("gave up", None),
            ValueError("too large"),
        ],
    )
    def test_that_blocks_raises_the_failure_after_the_hook(
        self,
        hooks: Recorder,
        make_publisher: Callable[..., Publisher],
        backend: HeldBackend,
        error: Exception,
        at_flush: bool,
    ) -> None:
        backend.settles_at_flush = at_flush
        backend.outcome = error

        with pytest.raises(type(error)) as raised:
            make_publisher(timeout=10).publish("photos", 1, blocking=True)

        assert raised.value is error
        assert hooks.arguments_of("post_publish_failure") == ("photos", error, 1)
        assert "post_publish_success" not in hooks.names

    def test_that_times_out_is_a_failure_and_no_success_follows(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        with pytest.raises(FutureTimeoutError):
            publisher.publish("photos", 1, blocking=True)
        backend.futures[0].set_result("message-1")

        assert hooks.names == ["pre_publish", "post_publish_failure"]
        assert isinstance(hooks.arguments_of("post_publish_failure")[1], FutureTimeoutError)

    @pytest.mark.parametrize("error", [FutureTimeoutError, TimeoutError])
    def test_that_times_out_says_what_that_means(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend, error: type[Exception]
    ) -> None:
        backend.outcome = error()

        with pytest.raises(error) as raised:
            publisher.publish("photos", 1, blocking=True, timeout=0.5)

        assert type(raised.value) is error
        assert str(raised.value) == (
            "HeldBackend did not accept the message for the topic 'photos' within 0.5 s. It may "
            "still arrive: sending continues. Allow more time with PUBLISHER_TIMEOUT or "
            "publish(timeout=…)."
        )
        assert hooks.arguments_of("post_publish_failure")[1] is raised.value

    def test_a_timeout_that_has_a_text_keeps_it(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = error = TimeoutError("the file system is slow")

        with pytest.raises(TimeoutError) as raised:
            publisher.publish("photos", 1, blocking=True)

        assert raised.value is error

    def test_a_timeout_of_the_call_wins_over_the_publishers(
        self, make_publisher: Callable[..., Publisher]
    ) -> None:
        with pytest.raises(FutureTimeoutError):
            make_publisher(timeout=3600).publish("photos", 1, blocking=True, timeout=0)

    @pytest.mark.parametrize(
        ("of_publisher", "of_call", "blocks"),
        [
            (None, None, False),
            (True, None, True),
            (True, False, False),
            (False, True, True),
        ],
    )
    def test_blocks_as_its_settings_say(
        self,
        make_publisher: Callable[..., Publisher],
        backend: HeldBackend,
        of_publisher: bool | None,
        of_call: bool | None,
        blocks: bool,
    ) -> None:
        backend.settles_at_flush = True
        backend.outcome = "message-1"

        future = make_publisher(of_publisher).publish("photos", 1, blocking=of_call)

        assert future.done() is blocks

    @pytest.mark.parametrize("blocking", [True, False])
    @pytest.mark.parametrize(
        ("data", "attributes", "error"),
        [
            (object(), {}, TypeError),
            ({}, {"count": 1}, TypeError),
            ({}, {"googclient": "x"}, ValueError),
        ],
    )
    def test_that_cannot_be_encoded_is_a_failure_and_nothing_is_sent(
        self,
        hooks: Recorder,
        publisher: Publisher,
        backend: HeldBackend,
        blocking: bool,
        data: Any,
        attributes: dict[str, Any],
        error: type[Exception],
    ) -> None:
        with pytest.raises(error):
            publisher.publish("photos", data, blocking=blocking, **attributes)

        topic, exception, message = hooks.arguments_of("post_publish_failure")
        assert (topic, type(exception), message) == ("photos", error, data)
        assert hooks.names == ["pre_publish", "post_publish_failure"]
        assert backend.messages == []

    @pytest.mark.parametrize("blocking", [True, False])
    @pytest.mark.parametrize(
        ("data", "outcome"), [(1, ValueError("too large")), (object(), None), (1, None)]
    )
    def test_raise_exception_false_leaves_every_failure_to_hook_and_future(
        self,
        hooks: Recorder,
        publisher: Publisher,
        backend: HeldBackend,
        blocking: bool,
        data: Any,
        outcome: Exception | None,
    ) -> None:
        backend.outcome = outcome

        future = publisher.publish("photos", data, blocking=blocking, raise_exception=False)
        if not future.done():
            assert hooks.names.count("post_publish_failure") == blocking
            future.set_exception(ValueError("later"))

        assert isinstance(future.exception(), (TypeError, ValueError))
        assert hooks.names == ["pre_publish", "post_publish_failure"]

    def test_a_failure_on_the_spot_is_raised_although_it_does_not_block(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = ValueError("too large")

        with pytest.raises(ValueError, match="too large"):
            publisher.publish("photos", 1)

        assert hooks.names == ["pre_publish", "post_publish_failure"]

    @pytest.mark.parametrize("blocking", [True, False])
    def test_a_backend_that_raises_is_a_failure_like_any_other(
        self,
        hooks: Recorder,
        publisher: Publisher,
        backend: HeldBackend,
        blocking: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        error = RuntimeError("down")
        monkeypatch.setattr(backend, "send", raising(error))

        with pytest.raises(RuntimeError, match="down"):
            publisher.publish("photos", 1, blocking=blocking)

        assert hooks.names == ["pre_publish", "post_publish_failure"]
        assert hooks.arguments_of("post_publish_failure") == ("photos", error, 1)

    def test_a_backend_that_cannot_send_at_once_is_logged_and_the_publish_waits_on(
        self,
        hooks: Recorder,
        make_publisher: Callable[..., Publisher],
        backend: HeldBackend,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(timeout: float | None) -> None:
            threading.Timer(0.01, backend.futures[0].set_result, ["message-1"]).start()
            raise RuntimeError("down")

        monkeypatch.setattr(backend, "flush", fail)

        future = make_publisher(timeout=10).publish("photos", 1, blocking=True)

        assert future.result(timeout=0) == "message-1"
        assert "post_publish_success" in hooks.names
        [record] = [r for r in caplog.records if r.name == "rele.backends"]
        assert "could not send at once" in record.getMessage()
        assert "down" in caplog.text

    def test_an_outcome_hook_that_raises_does_not_fail_the_publish(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["post_publish_success"] = raising(ValueError())
        backend.outcome = "message-1"

        assert publisher.publish("photos", 1, blocking=True).result() == "message-1"

    def test_a_middleware_that_has_post_publish_is_still_called(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = "message-1"

        publisher.publish("photos", 1)

        assert hooks.names == ["pre_publish", "post_publish_success", "post_publish"]

    def test_from_many_threads_runs_one_outcome_hook_each(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: publisher.publish("photos", n), range(100)))
        for future in backend.futures:
            future.set_result("message")

        assert hooks.names.count("post_publish_success") == 100


class AnsweringBackend(HeldBackend):
    """Answers whatever a test wants."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self._answers = answers

    def send(self, messages: Sequence[Message]) -> Any:
        self.messages += messages
        return self._answers


@pytest.mark.parametrize("blocking", [True, False])
class TestOutcomes:
    """What a backend may answer for a message."""

    def publisher(self, *answers: Any) -> Publisher:
        return Publisher(AnsweringBackend(*answers), json.JSONEncoder, 10)

    def test_a_deferred_message_leaves_the_hooks_to_who_sends_it(
        self, hooks: Recorder, blocking: bool
    ) -> None:
        future = self.publisher(Deferred("row-1")).publish("photos", 1, blocking=blocking)

        assert future.result(timeout=0) == "row-1"
        assert hooks.names == ["pre_publish"]

    def test_a_refused_message_has_failed_at_once(self, hooks: Recorder, blocking: bool) -> None:
        error = ValueError("no")
        publisher = self.publisher(Refused(error))

        with pytest.raises(ValueError, match="no"):
            publisher.publish("photos", {"id": 1}, blocking=blocking)
        future = publisher.publish("photos", 2, blocking=blocking, raise_exception=False)

        assert future.exception(timeout=0) is error
        assert hooks.names == ["pre_publish", "post_publish_failure"] * 2
        assert hooks.calls[1] == ("post_publish_failure", "photos", error, {"id": 1})

    def test_of_an_accepted_message_the_publisher_returns_the_future(
        self, hooks: Recorder, blocking: bool
    ) -> None:
        accepted: Future[str] = Future()
        accepted.set_result("message-1")

        future = self.publisher(Accepted(accepted)).publish("photos", 1, blocking=blocking)

        assert future is accepted
        assert hooks.names == ["pre_publish", "post_publish_success", "post_publish"]

    def test_each_message_of_several_has_its_own(self, hooks: Recorder, blocking: bool) -> None:
        accepted: Future[str] = Future()
        accepted.set_result("message-3")
        publisher = self.publisher(Deferred("row-1"), Refused(ValueError("no")), accepted)

        futures = publisher.publish_many(
            "photos", [1, 2, 3], blocking=blocking, raise_exception=False
        )

        assert [future.exception(timeout=0) is None for future in futures] == [True, False, True]
        assert [call[2] for call in hooks.calls if call[0] == "post_publish_success"] == [3]
        assert [call[3] for call in hooks.calls if call[0] == "post_publish_failure"] == [2]

    def test_a_cancelled_future_is_a_failure(self, hooks: Recorder, blocking: bool) -> None:
        cancelled: Future[str] = Future()
        cancelled.cancel()

        with pytest.raises(CancelledError):
            self.publisher(cancelled).publish("photos", 1, blocking=blocking)

        assert hooks.names == ["pre_publish", "post_publish_failure"]

    @pytest.mark.parametrize(
        ("answers", "text"),
        [
            ((), r"AnsweringBackend\.send\(\) answered nothing for a message"),
            (("message-1",), r"AnsweringBackend\.send\(\) answered 'message-1' for a message"),
        ],
    )
    def test_an_answer_that_is_none_says_what_it_must_be(
        self, hooks: Recorder, blocking: bool, answers: tuple[Any, ...], text: str
    ) -> None:
        with pytest.raises(TypeError, match=text):
            self.publisher(*answers).publish("photos", 1, blocking=blocking)

        assert hooks.names == ["pre_publish", "post_publish_failure"]


def test_a_future_that_is_cancelled_later_runs_the_failure_hook(
    hooks: Recorder, publisher: Publisher, backend: HeldBackend
) -> None:
    publisher.publish("photos", 1)

    backend.futures[0].cancel()

    assert hooks.names == ["pre_publish", "post_publish_failure"]


class TestFlush:
    def test_asks_the_backend_and_waits_for_the_hooks(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.settles_at_flush = True
        backend.outcome = "message-1"
        publisher.publish("photos", 1)

        assert publisher.flush(10)

        assert hooks.names[-2:] == ["post_publish_success", "post_publish"]

    def test_reports_that_something_was_not_sent(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        publisher.publish("photos", 1)

        assert not publisher.flush(0)

    def test_reports_a_publish_that_has_timed_out_and_may_still_arrive(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        with pytest.raises(FutureTimeoutError):
            publisher.publish("photos", 1, blocking=True)

        assert not publisher.flush(0)
        backend.futures[0].set_result("message-1")
        assert publisher.flush(0)


class TestPublishMany:
    def test_hands_all_to_the_backend_at_once(
        self, publisher: Publisher, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = Mock(side_effect=backend.send)
        monkeypatch.setattr(backend, "send", send)

        futures = publisher.publish_many(
            "photos", iter([1, ({"id": 2}, {"lang": "en", "ordering_key": "k"}), [3, {}]])
        )

        send.assert_called_once()
        assert futures == backend.futures
        assert [json.loads(message.data) for message in backend.messages] == [1, {"id": 2}, [3, {}]]
        assert [message.ordering_key for message in backend.messages] == ["", "k", ""]
        assert backend.messages[1].attributes.keys() == {"lang", "published_at"}

    @pytest.mark.parametrize("one", [{"id": 42}, "text", b"bytes"])
    def test_one_message_instead_of_several_is_refused_before_anything_is_sent(
        self, publisher: Publisher, backend: HeldBackend, one: Any
    ) -> None:
        with pytest.raises(TypeError, match="put it into a list, or use publish"):
            publisher.publish_many("photos", one)

        with pytest.raises(TypeError, match="put it into a list, or use publish"):
            asyncio.run(publisher.apublish_many("photos", one))

        assert backend.messages == []

    def test_nothing_to_publish_is_fine(self, publisher: Publisher, backend: HeldBackend) -> None:
        assert publisher.publish_many("photos", [], blocking=True) == []

    def test_each_message_has_its_hooks(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = "message-1"

        publisher.publish_many("photos", [1, 2], blocking=True)

        success = ["post_publish_success", "post_publish"]
        assert hooks.names == ["pre_publish", "pre_publish", *success, *success]

    @pytest.mark.parametrize("blocking", [True, False])
    def test_one_that_cannot_be_encoded_is_raised_and_the_others_are_sent(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend, blocking: bool
    ) -> None:
        backend.outcome = "message-1"

        with pytest.raises(TypeError, match="not JSON serializable"):
            publisher.publish_many("photos", [1, object(), 3], blocking=blocking)

        assert [message.data for message in backend.messages] == [b"1", b"3"]
        assert hooks.names.count("post_publish_failure") == 1
        assert hooks.names.count("post_publish_success") == 2

    def test_without_raising_the_future_fails(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = "message-1"

        good, bad = publisher.publish_many("photos", [1, object()], raise_exception=False)

        assert good.result(timeout=0) == "message-1"
        assert isinstance(bad.exception(timeout=0), TypeError)

    def test_a_hook_that_refuses_one_refuses_all_before_anything_is_sent(
        self, hooks: Recorder, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = raising(PermissionError("not today"))

        with pytest.raises(PermissionError):
            publisher.publish_many("photos", [1, 2])

        assert backend.messages == []

    def test_the_timeout_is_that_of_all_together(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        before = time.monotonic()

        futures = publisher.publish_many(
            "photos", range(20), blocking=True, timeout=0.2, raise_exception=False
        )

        assert time.monotonic() - before < 2
        assert not any(future.done() for future in futures)
        backend.settle_the_rest()
