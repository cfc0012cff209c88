"""One message on its way to a backend, and the hooks around it."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Protocol

from rele.backends import Message, Refused
from rele.messages.codec import encode
from rele.messages.explaining import forget_way
from rele.messages.limits import (
    SURELY_ACCEPTED_BYTES,
    TooLargeError,
    check_attributes,
    check_ordering_key,
    check_size,
    check_topic,
)
from rele.middleware import HookCall, call_hooks, calls_of, hooks_of, run_middleware_hook
from rele.runtime.interruptions import is_interruption
from rele.runtime.own_records import is_caused_by_own_record, silent
from rele.sending.backend_answers import failure_of
from rele.sending.outstanding import OutstandingPublishes


class Call(Protocol):
    """A call that waits for the outcomes of its messages."""

    def report(self, publication: Publication, future: Future[str], /) -> None:
        """See that the hooks run for ``future``, which is done."""


class Publication:
    """One message that is published, and the hooks that report its outcome.

    The outcome hooks run once, in the thread that claims them first: the one that reports the
    outcome, or that of a call that waits for it. All of this is safe in signal handlers and
    finalisers, and may be interrupted by an exception that a signal raises.

    Args:
        topic: the topic's id.
        data: any value that the encoder can encode.
        attrs: the attributes, and the ordering key under its name.
        outstanding: notes the messages whose outcome is not reported yet.
    """

    __slots__ = (
        "__weakref__",
        "_attrs",
        "_claim",
        "_data",
        "_is_caused_by_record",
        "_ordering_key",
        "_outstanding",
        "call",
        "future",
        "is_concluded",
        "left_at",
        "runs_in",
        "topic",
    )

    def __init__(
        self, topic: str, data: Any, attrs: Mapping[str, Any], outstanding: OutstandingPublishes
    ) -> None:
        self.topic = topic
        self._data = data
        self._attrs = {**attrs, "published_at": str(time.time())}
        self._ordering_key = self._attrs.pop("ordering_key", "")
        self._is_caused_by_record = is_caused_by_own_record()
        self._outstanding = outstanding
        self._claim: dict[str, object] = {}
        self.call: Call | None = None
        """The call that waits for the outcome."""
        self.future: Future[str] | None = None
        self.is_concluded = False
        """Whether the outcome is reported, and nothing is left to do."""
        self.left_at = math.inf
        """When the hooks were left to the call that waits, in seconds of the monotonic clock."""
        self.runs_in: int | None = None
        """The thread that is running the outcome hooks."""

    def run_pre_publish(self) -> None:
        """Run the ``pre_publish`` hooks, which may change the attributes; raise their errors."""
        key = self._ordering_key or ""
        # Also where there is none: a signal may have kept the key of another message from being
        # reset.
        token = None if key == _ordering_key.get() else _ordering_key.set(key)
        try:
            self._run_pre_publish()
        finally:
            if token is not None:
                _ordering_key.reset(token)

    def _run_pre_publish(self) -> None:
        if self._is_caused_by_record:
            with silent():
                run_middleware_hook("pre_publish", self.topic, self._data, self._attrs)
        else:
            run_middleware_hook("pre_publish", self.topic, self._data, self._attrs)

    def encode(self, encoder: type[json.JSONEncoder]) -> Message | Refused:
        """Return the message for the backend, or a refusal with the error."""
        try:
            return self._encode(encoder)
        except TooLargeError as error:
            # Imported here because it loads Google's modules, and few messages are too large.
            from rele.engine.failures import too_large

            return Refused(too_large(error))
        except Exception as error:  # also errors of the data's own code
            if is_interruption(error):
                raise
            return Refused(error)

    def _encode(self, encoder: type[json.JSONEncoder]) -> Message:
        """Encode the message; raise an error now for anything that Pub/Sub would never accept.

        Now the caller can still roll back a transaction.
        """
        attributes = dict(self._attrs)
        # A pre_publish hook may have set the ordering key.
        key = attributes.pop("ordering_key", self._ordering_key)
        check_topic(self.topic)
        check_ordering_key(key)
        check_attributes(attributes)
        payload = encode(self._data, encoder)
        if len(payload) > SURELY_ACCEPTED_BYTES:
            check_size(self.topic, payload, attributes, key)
        # str() of a member of a string enum may not be its value.
        return Message(str.__str__(self.topic), payload, attributes, str.__str__(key))

    def report(self, future: Future[str]) -> None:
        """Run the hooks for a future that is done, or let the call that waits for it run them."""
        self.future = future
        if self.call is None:
            self.conclude(failure_of(future))
        else:
            self.call.report(self, future)

    def leave(self, future: Future[str]) -> None:
        """Note that the hooks are left to the call that waits for ``future``, which is done."""
        self.left_at = time.monotonic()
        self._outstanding.watch(self, future)

    def conclude(self, error: BaseException | None) -> None:
        """Run the outcome hooks, unless they were claimed; then nothing is left to do."""
        try:
            self.run_outcome_hooks(error)
        finally:
            if self._claim:  # else a signal has interrupted it before the hooks
                self.is_concluded = True
                self._outstanding.forget(self)

    def run_outcome_hooks(self, error: BaseException | None) -> bool:
        """Run the hooks of a failure with ``error``, or of a success, unless claimed elsewhere.

        Returns:
            whether they have run now.

        Raises:
            BaseException: whatever a signal has raised meanwhile. The hooks have run, or can still
                be run by another call.
        """
        if self._claim:
            return False
        self.runs_in = threading.get_ident()
        try:
            if self._is_caused_by_record:
                with silent():
                    has_run, interruption = self._call_outcome_hooks(error)
            else:
                has_run, interruption = self._call_outcome_hooks(error)
        finally:
            self.runs_in = None
        if interruption is not None:
            raise interruption
        return has_run

    def _call_outcome_hooks(self, error: BaseException | None) -> tuple[bool, BaseException | None]:
        if error is None:
            calls = _success_calls(self.topic, self._data, self._attrs)
            return call_hooks(self._claim, calls)
        return _call_failure_hooks(self._claim, self.topic, error, self._data, self._attrs)


def _success_calls(topic: str, data: Any, attributes: Mapping[str, Any]) -> list[HookCall]:
    calls = calls_of("post_publish_success", (topic, data, attributes))
    calls += calls_of("post_publish", (topic,))
    return calls


def _call_failure_hooks(
    claim: dict[str, object],
    topic: str,
    error: BaseException,
    data: Any,
    attributes: Mapping[str, Any],
) -> tuple[bool, BaseException | None]:
    forget_way(error)
    calls = calls_of("post_publish_failure", (topic, error, data))
    token = _failed_attributes.set(attributes)
    try:
        return call_hooks(claim, calls)
    finally:
        _failed_attributes.reset(token)


_failed_attributes: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "rele_failed_attributes", default=None
)


def has_success_hooks() -> bool:
    """Whether :func:`run_success_hooks` does anything now."""
    return bool(hooks_of("post_publish_success") or calls_of("post_publish", ()))


def run_success_hooks(topic: str, data: Any, attributes: Mapping[str, Any]) -> None:
    """Run the hooks for a message that Pub/Sub has accepted; ``data`` is what the caller gave."""
    _, interruption = call_hooks({}, _success_calls(topic, data, attributes))
    if interruption is not None:
        raise interruption


def run_failure_hook(
    topic: str, error: BaseException, data: Any, attributes: Mapping[str, Any]
) -> None:
    """Run the hooks for a message that was not published; ``data`` is what the caller gave."""
    _, interruption = _call_failure_hooks({}, topic, error, data, attributes)
    if interruption is not None:
        raise interruption


def failed_attributes() -> Mapping[str, Any]:
    """The attributes of the message whose ``post_publish_failure`` hook runs.

    The hook has no parameter for them.
    """
    return _failed_attributes.get() or {}


_ordering_key: ContextVar[str] = ContextVar("rele_ordering_key", default="")


def ordering_key_of_hook() -> str:
    """The ordering key of the message whose ``pre_publish`` hook runs; empty without one.

    The hook has no parameter for it.
    """
    return _ordering_key.get()


def each_data_and_attributes(messages: Iterable[Any]) -> list[tuple[Any, Mapping[str, Any]]]:
    """The data and the attributes of each of the ``messages`` of ``publish_many``.

    Raises:
        TypeError: it is one value, whose keys or characters would be published one by one.
    """
    if isinstance(messages, (Mapping, str, bytes, bytearray)):
        raise TypeError(
            f"publish_many takes an iterable of messages, such as a list, not one "
            f"{type(messages).__name__}: put it into a list, or use publish."
        )
    return [_data_and_attributes(item) for item in messages]


def _data_and_attributes(item: Any) -> tuple[Any, Mapping[str, Any]]:
    """The data and the attributes of an item of ``publish_many``, with or without attributes."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Mapping):
        return item
    return item, {}
