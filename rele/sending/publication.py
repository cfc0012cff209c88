"""One message on its way to a backend, and the hooks around it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rele.backends import Message, Refused
from rele.messages.codec import encode
from rele.messages.explaining import forget_way
from rele.messages.limits import (
    TooLargeError,
    check_attributes,
    check_ordering_key,
    check_size,
    check_topic,
)
from rele.middleware import run_middleware_hook
from rele.runtime.own_records import is_caused_by_own_record, silent
from rele.sending.backend_answers import failure_of


class Publication:
    """One message that is published, and the hooks that report its outcome.

    Args:
        topic: the topic's id.
        data: any value that the encoder can encode.
        attrs: the attributes, and the ordering key under its name.
    """

    def __init__(self, topic: str, data: Any, attrs: Mapping[str, Any]) -> None:
        self.topic = topic
        self._data = data
        self._attrs = {**attrs, "published_at": str(time.time())}
        self._ordering_key = self._attrs.pop("ordering_key", "")
        self._is_caused_by_record = is_caused_by_own_record()

    def run_pre_publish(self) -> None:
        """Run the ``pre_publish`` hooks, which may change the attributes; raise their errors."""
        with silent(self._is_caused_by_record):
            run_middleware_hook("pre_publish", self.topic, self._data, self._attrs)

    def encode(self, encoder: type[json.JSONEncoder]) -> Message | Refused:
        """Return the message for the backend, or a refusal with the error."""
        try:
            return self._encode(encoder)
        except TooLargeError as error:
            # Imported here because it loads Google's modules, and few messages are too large.
            from rele.engine.failures import too_large

            return Refused(too_large(error))
        except Exception as error:  # noqa: BLE001 - also errors of the data's own code
            return Refused(error)

    def _encode(self, encoder: type[json.JSONEncoder]) -> Message:
        """Encode the message; raise an error now for anything that Pub/Sub would never accept.

        Now the caller can still roll back a transaction.
        """
        # A pre_publish hook may have set the ordering key.
        key = self._attrs.pop("ordering_key", self._ordering_key)
        check_topic(self.topic)
        check_ordering_key(key)
        check_attributes(self._attrs)
        payload = encode(self._data, encoder)
        check_size(self.topic, payload, self._attrs, key)
        # str() of a member of a string enum may not be its value.
        return Message(str.__str__(self.topic), payload, dict(self._attrs), str.__str__(key))

    def report(self, future: Future[str]) -> None:
        """Run the hooks for a future that is done."""
        error = failure_of(future)
        if error is None:
            self.report_success()
        else:
            self.report_failure(error)

    def report_success(self) -> None:
        with silent(self._is_caused_by_record):
            run_success_hooks(self.topic, self._data, self._attrs)

    def report_failure(self, error: BaseException) -> None:
        with silent(self._is_caused_by_record):
            run_failure_hook(self.topic, error, self._data, self._attrs)


_failed_attributes: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "rele_failed_attributes", default=None
)


def run_success_hooks(topic: str, data: Any, attributes: Mapping[str, Any]) -> None:
    """Run the hooks for a message that Pub/Sub has accepted; ``data`` is what the caller gave."""
    run_middleware_hook("post_publish_success", topic, data, attributes)
    run_middleware_hook("post_publish", topic)


def run_failure_hook(
    topic: str, error: BaseException, data: Any, attributes: Mapping[str, Any]
) -> None:
    """Run the hooks for a message that was not published; ``data`` is what the caller gave."""
    forget_way(error)
    with _failing(attributes):
        run_middleware_hook("post_publish_failure", topic, error, data)


def failed_attributes() -> Mapping[str, Any]:
    """The attributes of the message whose ``post_publish_failure`` hook runs.

    The hook has no parameter for them.
    """
    return _failed_attributes.get() or {}


@contextmanager
def _failing(attributes: Mapping[str, Any]) -> Iterator[None]:
    token = _failed_attributes.set(attributes)
    try:
        yield
    finally:
        _failed_attributes.reset(token)


def data_and_attributes(item: Any) -> tuple[Any, Mapping[str, Any]]:
    """The data and the attributes of an item of ``publish_many``, with or without attributes."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Mapping):
        return item
    return item, {}
