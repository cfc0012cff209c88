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
    """One message that is published, and the hooks that say how that ended.

    Args:
        topic: the topic's id.
        data: whatever the encoder takes.
        attrs: the attributes, and the ordering key under its name.
    """

    def __init__(self, topic: str, data: Any, attrs: Mapping[str, Any]) -> None:
        self.topic = topic
        self._data = data
        self._attrs = {**attrs, "published_at": str(time.time())}
        self._ordering_key = self._attrs.pop("ordering_key", "")
        self._is_caused_by_record = is_caused_by_own_record()

    def run_pre_publish(self) -> None:
        """Let the middleware see the data and change the attributes; what it raises is raised."""
        with silent(self._is_caused_by_record):
            run_middleware_hook("pre_publish", self.topic, self._data, self._attrs)

    def encode(self, encoder: type[json.JSONEncoder]) -> Message | Refused:
        """The message for the backend, or why there is none."""
        try:
            return self._encode(encoder)
        except TooLargeError as error:
            # Here, since it loads Google's modules, and most messages are small enough.
            from rele.engine.failures import too_large

            return Refused(too_large(error))
        except Exception as error:  # noqa: BLE001 - of the data's own code, too
            return Refused(error)

    def _encode(self, encoder: type[json.JSONEncoder]) -> Message:
        """Refuse what Pub/Sub never takes, as long as a transaction can still be rolled back."""
        # A hook of pre_publish may have given it.
        key = self._attrs.pop("ordering_key", self._ordering_key)
        check_topic(self.topic)
        check_ordering_key(key)
        check_attributes(self._attrs)
        payload = encode(self._data, encoder)
        check_size(self.topic, payload, self._attrs, key)
        # A member of an enum that is a string has another text than its value.
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
            run_middleware_hook("post_publish_success", self.topic, self._data, self._attrs)
            run_middleware_hook("post_publish", self.topic)

    def report_failure(self, error: BaseException) -> None:
        with silent(self._is_caused_by_record):
            run_failure_hook(self.topic, error, self._data, self._attrs)


_failed_attributes: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "rele_failed_attributes", default=None
)


def run_failure_hook(
    topic: str, error: BaseException, data: Any, attributes: Mapping[str, Any]
) -> None:
    """Run the hooks for a message that was not published; ``data`` is what the caller gave."""
    forget_way(error)
    with _failing(attributes):
        run_middleware_hook("post_publish_failure", topic, error, data)


def failed_attributes() -> Mapping[str, Any]:
    """The attributes of the message whose ``post_publish_failure`` runs, which gets none."""
    return _failed_attributes.get() or {}


@contextmanager
def _failing(attributes: Mapping[str, Any]) -> Iterator[None]:
    token = _failed_attributes.set(attributes)
    try:
        yield
    finally:
        _failed_attributes.reset(token)


def data_and_attributes(item: Any) -> tuple[Any, Mapping[str, Any]]:
    """What is given for one of several messages: its data, or a tuple of data and attributes."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Mapping):
        return item
    return item, {}
