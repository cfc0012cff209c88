from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from unittest.mock import MagicMock

import pytest

import rele
from rele import Callback, Subscription
from rele.contrib import LoggingMiddleware, VerboseLoggingMiddleware
from rele.contrib import logging_middleware as module
from rele.exceptions import Drop, Retry
from rele.middleware import run_middleware_hook
from tests.support.backends import HeldBackend
from tests.support.deliveries import Delivery
from tests.support.recorder import raising

NOW = 1560244246.863829

Deliver = Callable[..., Delivery]


PAYLOAD = b'{"id": 1}'


class SentBackend(HeldBackend):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.outcome = "message-1"


class RefusedBackend(HeldBackend):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.outcome = ValueError("refused")


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set Relé up with the middleware, in an hour of the test's own."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    return lambda backend=SentBackend, **settings: rele.setup(
        {
            "APP_NAME": "shop",
            "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
            "PUBLISHER_BACKEND": f"{__name__}.{backend.__name__}",
            **settings,
        }
    )


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """The records of the middleware's logger, of every level."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("rele.contrib.logging_middleware")
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        logger.addHandler(handler)
        yield records
        logger.removeHandler(handler)


def sha256_of(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def publication() -> dict[str, Any]:
    return {"name": "publications", "data": {"agent": "shop", "topic": "photos"}}


def processing(status: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "subscriptions",
        "data": {
            "agent": "shop",
            "topic": "photos",
            "status": status,
            "subscription": "photos-thumbs",
            "attributes": {"lang": "en"},
            **more,
        },
    }


def subscription(handler: Callable[..., Any]) -> Subscription:
    return Subscription(handler, "photos", suffix="thumbs")


class TestPublishing:
    def test_success(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure()

        rele.publish("photos", {"id": 1}, lang="en")

        started, published = records
        assert (started.levelname, started.getMessage()) == ("DEBUG", "Publishing to photos")
        assert (published.levelname, published.getMessage()) == ("INFO", "Published to photos")
        for record in records:
            assert record.name == "rele.contrib.logging_middleware"
            assert record.metrics == publication()
            assert record.pubsub_publisher_attrs == {"lang": "en", "published_at": str(NOW)}
            assert not hasattr(record, "subscription_message")

    def test_failure(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure(RefusedBackend)

        future = rele.publish("photos", {"id": 1}, raise_exception=False, lang="en")

        _, failed = records
        assert failed.levelname == "ERROR"
        assert failed.getMessage() == "Publishing to photos failed: ValueError: refused"
        assert failed.exc_info is not None
        assert failed.exc_info[1] is future.exception()
        assert failed.metrics == publication()
        assert failed.pubsub_publisher_attrs == {"lang": "en", "published_at": str(NOW)}
        assert failed.subscription_message == '{"id": 1}'

    def test_a_failure_is_encoded_by_the_configured_encoder(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure(RefusedBackend, ENCODER_PATH="django.core.serializers.json.DjangoJSONEncoder")

        rele.publish("photos", {"on": date(2024, 5, 1)}, raise_exception=False)

        assert records[-1].subscription_message == '{"on": "2024-05-01"}'

    def test_failures_that_end_together_keep_their_attributes_apart(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure(RefusedBackend)

        rele.publish_many(
            "photos", [(1, {"lang": "en"}), (2, {"lang": "es"})], raise_exception=False
        )

        failed = [record for record in records if record.levelname == "ERROR"]
        assert [record.pubsub_publisher_attrs["lang"] for record in failed] == ["en", "es"]
        assert [record.subscription_message for record in failed] == ["1", "2"]

    def test_failure_of_data_that_cannot_be_encoded(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure()
        data = object()

        with pytest.raises(TypeError):
            rele.publish("photos", data, lang="en")

        assert records[-1].levelname == "ERROR"
        assert records[-1].subscription_message == repr(data)
        assert records[-1].pubsub_publisher_attrs == {"lang": "en", "published_at": str(NOW)}

    def test_failure_of_data_that_has_not_even_a_repr(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure()

        class Shy:
            __repr__ = raising(ValueError("no repr"))

        with pytest.raises(TypeError):
            rele.publish("photos", Shy())

        assert "Shy object at" in records[-1].subscription_message

    def test_without_payloads_a_failure_shows_size_and_hash(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure(RefusedBackend, LOG_PAYLOADS=False)

        rele.publish("photos", {"id": 1}, raise_exception=False)

        assert records[-1].subscription_message == f"9 bytes, SHA-256 {sha256_of(PAYLOAD)}"

    def test_without_payloads_data_that_cannot_be_encoded_is_shown_by_its_type(
        self, configure: Callable[..., None], records: list[logging.LogRecord]
    ) -> None:
        configure(LOG_PAYLOADS=False)

        with pytest.raises(TypeError):
            rele.publish("photos", {1, 2})

        assert records[-1].subscription_message == "set"


class TestProcessing:
    def test_success(
        self,
        configure: Callable[..., None],
        records: list[logging.LogRecord],
        deliver: Deliver,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        configure()

        def take_some_time(data: Any, **attributes: Any) -> None:
            monkeypatch.setattr(time, "time", lambda: NOW + 1.23456)

        Callback(subscription(take_some_time))(deliver(b'{"id": 1}', lang="en").message)

        received, succeeded = records
        assert received.levelname == "DEBUG"
        assert received.getMessage() == "Received a message for photos-thumbs - take_some_time"
        assert received.metrics == processing("received")
        assert succeeded.levelname == "INFO"
        assert succeeded.getMessage() == "Processed a message for photos-thumbs - take_some_time"
        assert succeeded.metrics == processing("succeeded", duration_seconds=1.235)
        assert not hasattr(succeeded, "subscription_message")

    @pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
    def test_failure(
        self,
        configure: Callable[..., None],
        records: list[logging.LogRecord],
        deliver: Deliver,
        error: BaseException,
    ) -> None:
        configure()
        message = deliver(b'{"id": 1}', lang="en").message

        Callback(subscription(raising(error)))(message)

        _, failed = records
        assert failed.levelname == "ERROR"
        assert failed.getMessage() == (
            f"Processing a message for photos-thumbs - fail failed: {type(error).__name__}"
        )
        assert failed.exc_info is not None
        assert failed.exc_info[1] is error
        assert failed.metrics == processing("failed", duration_seconds=0.0)
        assert failed.subscription_message == str(message)
        assert '{"id": 1}' in failed.subscription_message

    @pytest.mark.parametrize(
        ("error", "text"), [(Drop("not ours"), "Drop('not ours')"), (Retry(30), "in 30 s or later")]
    )
    def test_what_a_handler_decides_is_no_error(
        self,
        configure: Callable[..., None],
        records: list[logging.LogRecord],
        deliver: Deliver,
        error: Exception,
        text: str,
    ) -> None:
        configure()

        Callback(subscription(raising(error)))(deliver(b'{"id": 1}', lang="en").message)

        _, decided = records
        assert decided.levelname == "WARNING"
        assert text in decided.getMessage()
        assert decided.exc_info is None
        assert decided.metrics == processing("failed", duration_seconds=0.0)

    @pytest.mark.parametrize("name", ["LoggingMiddleware", "VerboseLoggingMiddleware"])
    def test_without_payloads_a_failure_shows_id_size_and_hash(
        self,
        configure: Callable[..., None],
        caplog: pytest.LogCaptureFixture,
        deliver: Deliver,
        name: str,
    ) -> None:
        configure(LOG_PAYLOADS=False, MIDDLEWARE=[f"rele.contrib.{name}"])

        Callback(subscription(raising(ValueError())))(deliver(b'{"id": 1}').message)

        [failed] = [r for r in caplog.records if r.levelname == "ERROR"]
        assert failed.subscription_message == (  # type: ignore[attr-defined]
            f"The message message-1 (9 bytes, SHA-256 {sha256_of(PAYLOAD)})"
        )

    def test_the_attributes_of_a_record_are_a_dict_of_its_own(
        self, configure: Callable[..., None], records: list[logging.LogRecord], deliver: Deliver
    ) -> None:
        configure()
        message = deliver(lang="en").message

        Callback(subscription(print))(message)
        message.attributes["lang"] = "changed"

        assert type(records[0].metrics["data"]["attributes"]) is dict
        assert records[0].metrics == processing("received")


def test_cleaning_up_logs_the_number_of_subscriptions(
    configure: Callable[..., None], records: list[logging.LogRecord]
) -> None:
    configure()

    run_middleware_hook("pre_worker_stop", [subscription(print)] * 3)

    [record] = records
    assert record.levelname == "INFO"
    assert record.getMessage() == "Cleaning up 3 subscription(s)"


def test_a_subclass_logs_under_the_name_of_its_own_module(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class OwnMiddleware(LoggingMiddleware):
        pass

    OwnMiddleware().pre_worker_stop([])
    caplog.clear()
    with caplog.at_level(logging.INFO, logger=__name__):
        OwnMiddleware().pre_worker_stop([])

    assert [record.name for record in caplog.records] == [__name__]


def test_is_found_under_both_of_its_names() -> None:
    assert LoggingMiddleware is module.LoggingMiddleware


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("error", [None, ValueError(), Drop()], ids=repr)
def test_of_a_message_that_is_not_logged_nothing_is_read(
    caplog: pytest.LogCaptureFixture, verbose: bool, error: Exception | None
) -> None:
    middleware = VerboseLoggingMiddleware() if verbose else LoggingMiddleware()
    caplog.set_level(logging.CRITICAL, type(middleware).__module__)
    nothing: Any = object()  # has no attributes that could be read

    middleware.pre_process_message(nothing, nothing)
    if error is None:
        middleware.post_process_message_success(nothing, NOW, nothing)
    else:
        middleware.post_process_message_failure(nothing, error, NOW, nothing)

    assert caplog.records == []


def test_of_a_publish_that_is_not_logged_no_attribute_is_read() -> None:
    unreadable = MagicMock(spec=dict)
    unreadable.keys.side_effect = AssertionError("read for a record that nobody takes")

    logging.getLogger(module.__name__).setLevel(logging.WARNING)
    try:
        middleware = LoggingMiddleware()
        middleware.pre_publish("orders", {}, unreadable)
        middleware.post_publish_success("orders", {}, unreadable)
    finally:
        logging.getLogger(module.__name__).setLevel(logging.NOTSET)
