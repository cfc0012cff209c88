"""What our own publisher sends again, what it gives up, and what that does to other messages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.exceptions import InvalidArgument, NotFound, RetryError
from grpc import StatusCode

import rele
from tests.support.proxy import Proxy
from tests.support.publish_server import PublishServer
from tests.support.recorder import Recorder

Configure = Callable[..., Recorder]

SUCCESS, FAILURE = "post_publish_success", "post_publish_failure"

PASSING = [
    StatusCode.ABORTED,
    StatusCode.CANCELLED,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.INTERNAL,
    StatusCode.RESOURCE_EXHAUSTED,
    StatusCode.UNAVAILABLE,
    StatusCode.UNKNOWN,
]
FINAL = [
    (StatusCode.ALREADY_EXISTS, exceptions.AlreadyExists),
    (StatusCode.DATA_LOSS, exceptions.DataLoss),
    (StatusCode.FAILED_PRECONDITION, exceptions.FailedPrecondition),
    (StatusCode.INVALID_ARGUMENT, exceptions.InvalidArgument),
    (StatusCode.NOT_FOUND, exceptions.NotFound),
    (StatusCode.OUT_OF_RANGE, exceptions.OutOfRange),
    (StatusCode.PERMISSION_DENIED, exceptions.PermissionDenied),
    (StatusCode.UNAUTHENTICATED, exceptions.Unauthenticated),
    (StatusCode.UNIMPLEMENTED, exceptions.MethodNotImplemented),
]

KEYS = pytest.mark.parametrize("key", ["", "customer-1"])


def name_of(code: Any) -> str:
    return code.name if isinstance(code, StatusCode) else ""


@KEYS
@pytest.mark.parametrize("code", PASSING, ids=name_of)
def test_a_passing_error_is_retried_until_the_message_is_accepted(
    publish_server: PublishServer, publishes_natively: Configure, code: StatusCode, key: str
) -> None:
    recorder = publishes_natively()
    publish_server.refuse(code, times=2)

    future = rele.publish("photos", 1, ordering_key=key)

    assert future.result(timeout=20)
    assert rele.flush(5)
    assert recorder.names == [SUCCESS]
    assert [request.data for request in publish_server.requests.items] == [[b"1"]] * 3


@KEYS
@pytest.mark.parametrize(("code", "error"), FINAL, ids=name_of)
def test_every_other_error_is_final_at_once(
    publish_server: PublishServer,
    publishes_natively: Configure,
    code: StatusCode,
    error: type[Exception],
    key: str,
) -> None:
    recorder = publishes_natively()
    publish_server.refuse(code, "the reason", times=1)

    future = rele.publish("photos", 1, ordering_key=key)

    raised = future.exception(timeout=10)
    assert isinstance(raised, error)
    [(name, topic, reported, data)] = recorder.wait_for(1)
    assert (name, topic, reported, data) == (FAILURE, "photos", raised, 1)
    assert len(publish_server.requests.items) == 1
    assert rele.publish("photos", 2, ordering_key=key, blocking=True).result(0)


@pytest.mark.parametrize("number_of_bad", [1, 3])
def test_a_message_that_pubsub_refuses_takes_no_other_of_its_request_with_it(
    publish_server: PublishServer, publishes_natively: Configure, number_of_bad: int
) -> None:
    recorder = publishes_natively()
    first = publish_server.hold(times=1)
    bad = [13, 14, 77][:number_of_bad]
    for number in bad:
        publish_server.refuse(StatusCode.INVALID_ARGUMENT, data=b"%d" % number)
    rele.publish("photos", "first")
    first.requests.wait_for(1)

    futures = [rele.publish("photos", number) for number in range(100)]
    first.release()

    errors = {n: future.exception(timeout=10) for n, future in enumerate(futures)}
    assert {n: type(error) for n, error in errors.items() if error} == dict.fromkeys(
        bad, InvalidArgument
    )
    recorder.wait_for(101)
    assert {call[3] for call in recorder.calls if call[0] == FAILURE} == set(bad)
    accepted = [int(data) for data in publish_server.accepted.items[1:]]
    assert sorted(accepted) == sorted(set(range(100)) - set(bad))


def test_with_an_ordering_key_what_comes_after_a_refused_message_fails_as_well(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    first = publish_server.hold(times=1)
    publish_server.refuse(StatusCode.INVALID_ARGUMENT, data=b"13")
    before = rele.publish("photos", "first", ordering_key="7")
    first.requests.wait_for(1)

    futures = [rele.publish("photos", number, ordering_key="7") for number in range(20)]
    first.release()

    errors = [future.exception(timeout=10) for future in futures]
    assert before.result(0)
    assert errors[:13] == [None] * 13
    assert isinstance(errors[13], InvalidArgument)
    assert errors[14:] == [errors[13]] * 6
    assert publish_server.accepted.items[1:] == [b"%d" % number for number in range(13)]
    assert rele.publish("photos", "anew", ordering_key="7", blocking=True).result(0)


def test_a_final_failure_of_a_key_fails_what_was_handed_over_and_no_other_key(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()
    held = publish_server.hold(key="a", times=1)
    futures = [rele.publish("photos", number, ordering_key="a") for number in range(5)]
    held.requests.wait_for(1)
    other = rele.publish("photos", "other", ordering_key="b")
    assert other.result(timeout=10)

    held.refuse(StatusCode.NOT_FOUND)

    errors = [future.exception(timeout=10) for future in futures]
    assert isinstance(errors[0], NotFound)
    assert errors == [errors[0]] * 5
    recorder.wait_for(6)
    anew = [rele.publish("photos", f"anew {number}", ordering_key="a") for number in range(3)]
    assert wait(anew, timeout=10).not_done == set()
    assert [f.exception(0) for f in anew] == [None] * 3
    assert publish_server.data_by_key()["a"][-3:] == [b'"anew 0"', b'"anew 1"', b'"anew 2"']


def test_a_failure_hook_may_publish_to_its_key_anew(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()
    again: list[Any] = []
    recorder.actions[FAILURE] = lambda *_: again.append(
        rele.publish("photos", "again", ordering_key="a")
    )
    publish_server.refuse(StatusCode.NOT_FOUND, times=1)

    assert isinstance(rele.publish("photos", 1, ordering_key="a").exception(10), NotFound)

    recorder.wait_for(2)
    assert again[0].result(timeout=10)


def test_an_ordering_key_without_quota_delays_no_other(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    publish_server.refuse(StatusCode.RESOURCE_EXHAUSTED, key="a", times=2)

    exhausted = rele.publish("photos", 1, ordering_key="a")
    publish_server.requests.wait_for(1)
    began = time.monotonic()
    for number in range(10):
        rele.publish("photos", number, ordering_key="b", blocking=True, timeout=5)
        rele.publish("photos", number, blocking=True, timeout=5)

    assert time.monotonic() - began < 0.5
    assert not exhausted.done()
    assert exhausted.result(timeout=20)
    at = [request.at for request in publish_server.requests.items if request.keys == {"a"}]
    assert at[1] - at[0] >= 0.5


def test_a_topic_that_is_unavailable_delays_no_other_and_sends_one_request_at_a_time(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    publish_server.refuse(StatusCode.UNAVAILABLE, topic="down", times=3)
    held = publish_server.hold(topic="down")
    down = [rele.publish("down", number) for number in range(50)]
    ordered = [rele.publish("down", number, ordering_key=str(number)) for number in range(50)]
    for number in range(20):
        rele.publish("other", number, blocking=True, timeout=0.5)
    held.requests.wait_for(1)
    down += [rele.publish("down", number) for number in range(50, 3000)]
    rele.publish("other", "last", blocking=True, timeout=5)

    under_way = len(held.requests.items)
    held.release()
    assert wait([*down, *ordered], timeout=20).not_done == set()

    assert under_way == 1
    assert all(future.exception(0) is None for future in (*down, *ordered))


def test_all_is_sent_soon_after_the_first_success_of_a_server_that_refused_everything(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    publish_server.refuse(StatusCode.UNAVAILABLE)
    futures = [rele.publish(f"topic-{number % 20}", number) for number in range(400)]
    # Pauses have reached their longest.
    publish_server.requests.wait_until(lambda requests: _attempts(requests, "topic-0") >= 8, 60)

    publish_server.accept_all()
    accepted_at = time.monotonic()
    publish_server.accepted.wait_for(1, 10)
    first_at = time.monotonic()
    publish_server.accepted.wait_for(400, 20)
    last_at = time.monotonic()

    assert first_at - accepted_at < 5
    assert last_at - first_at < 5.5
    assert all(future.result(5) for future in futures)


def _attempts(requests: list[Any], topic: str) -> int:
    return sum(request.topic == topic for request in requests)


def test_all_topics_are_sent_soon_after_the_connection_is_back(
    publish_server: PublishServer,
    publishes_natively: Configure,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="rele")
    with Proxy(publish_server.address) as proxy:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.address)
        publishes_natively()
        rele.publish("topic-0", "first", blocking=True, timeout=10)
        proxy.cut()
        futures = [rele.publish(f"topic-{number % 50}", number) for number in range(1000)]
        assert wait(futures, timeout=8).done == set()

        proxy.resume()
        resumed_at = time.monotonic()
        assert wait(futures, timeout=20).not_done == set()

        assert time.monotonic() - resumed_at < 2.5
        assert all(future.exception(0) is None for future in futures)
        rele.publishing.forget()
    lasting, end = [r for r in caplog.records if r.name.startswith("rele.engine")]
    assert (lasting.levelname, end.levelname) == ("WARNING", "INFO")
    assert "1000 message(s) are waiting" in lasting.getMessage()
    assert proxy.address in lasting.getMessage()
    assert "again" in end.getMessage()


@KEYS
def test_a_message_that_is_not_accepted_in_time_fails_with_the_last_error(
    publish_server: PublishServer, publishes_natively: Configure, key: str
) -> None:
    recorder = publishes_natively(PUBLISHER_RETRY_FOR=1.0)
    publish_server.refuse(StatusCode.UNAVAILABLE, "try later")

    began = time.monotonic()
    future = rele.publish("photos", 1, ordering_key=key)
    error = future.exception(timeout=20)

    assert isinstance(error, RetryError)
    assert str(error.cause) == "503 try later"
    assert str(error).count("did not accept the message") == 1
    assert 1.0 <= time.monotonic() - began < 3.0
    assert recorder.wait_for(1)[0][2] is error


def test_no_message_is_reported_as_failed_while_an_attempt_is_under_way(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively(PUBLISHER_RETRY_FOR=0.5)
    held = publish_server.hold(times=1)

    future = rele.publish("photos", 1)
    held.requests.wait_for(1)
    with pytest.raises(FutureTimeoutError):
        future.result(timeout=2)
    held.release()

    assert future.result(timeout=10)
    assert [call[0] for call in recorder.wait_for(1)] == [SUCCESS]


def test_the_time_that_a_message_waits_behind_its_key_counts(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_RETRY_FOR=1.0)
    held = publish_server.hold(key="a", times=1)
    first = rele.publish("photos", 1, ordering_key="a")
    held.requests.wait_for(1)
    behind = [rele.publish("photos", number, ordering_key="a") for number in range(2, 5)]
    with pytest.raises(FutureTimeoutError):
        first.result(timeout=1.5)

    held.refuse(StatusCode.UNAVAILABLE)

    errors = [future.exception(timeout=10) for future in (first, *behind)]
    assert isinstance(errors[0], RetryError)
    assert errors == [errors[0]] * 4
    assert len(publish_server.requests.items) == 1
    assert rele.publish("photos", 5, ordering_key="a", blocking=True).result(0)


def test_no_message_is_sent_after_it_was_reported_as_failed(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively(PUBLISHER_RETRY_FOR=0.5)
    publish_server.refuse(StatusCode.UNAVAILABLE, topic="down")
    futures = [rele.publish("down", number) for number in range(20)]
    assert wait(futures, timeout=20).not_done == set()
    recorder.wait_for(20)
    before = len(publish_server.requests.items)

    publish_server.accept_all()
    rele.publish("down", "later", blocking=True, timeout=10)

    [later] = publish_server.requests.items[before:]
    assert later.data == [b'"later"']


def test_an_attempt_has_a_minute_or_what_its_bytes_need_at_100_kilobytes_a_second(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()

    rele.publish("photos", 1, blocking=True, timeout=10)
    rele.publish("photos", "x" * 8_000_000, blocking=True, timeout=30)

    small, large = [request.call.timeout for request in publish_server.requests.items]
    assert small == pytest.approx(60, abs=1)
    assert large == pytest.approx(80, abs=1)


def test_threads_that_wait_for_an_unavailable_server_hold_up_nobody(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    publish_server.refuse(StatusCode.UNAVAILABLE, topic="down")
    ends: list[float] = []

    def publish_and_wait() -> None:
        began = time.monotonic()
        with pytest.raises(FutureTimeoutError):
            rele.publish("down", 1, blocking=True, timeout=1)
        ends.append(time.monotonic() - began)

    threads = [threading.Thread(target=publish_and_wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(ends) == 8
    assert all(0.9 < seconds < 2 for seconds in ends)
