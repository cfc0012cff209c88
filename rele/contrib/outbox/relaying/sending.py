"""Handing messages to a backend, and waiting for their outcomes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from rele.backends import BaseBackend, Message, Refused
from rele.contrib.outbox.models import OutboxMessage
from rele.runtime.own_records import log_publishing, silent
from rele.runtime.stopping import StopRequest
from rele.sending.backend_answers import outcomes_of

logger = logging.getLogger(__name__)

_CHECK_SECONDS = 0.5
"""The interval at which a wait for an outcome checks whether to stop."""

_CHECKS_BEFORE_WARNING = 4
"""After how many checks without an outcome a warning is logged."""

_ALONE_AT_A_TIME = 50
"""How many requests of one message may be outstanding: Google's client has a thread for each."""

Outcomes = list[tuple[OutboxMessage, BaseException | None]]
"""Messages, each with the error, or ``None`` if Pub/Sub has accepted it."""


class StoppedError(Exception):
    """The relay must stop before the outcomes of the messages that it sent are known."""


class Sender:
    """Sends through a backend.

    Args:
        backend: where the messages go.
        stop: once it is requested, outcomes are not waited for.
    """

    def __init__(self, backend: BaseBackend, stop: StopRequest) -> None:
        self._backend = backend
        self._stop = stop
        self._checks_without_outcome = 0

    def send(self, messages: Sequence[OutboxMessage]) -> Outcomes:
        """Send ``messages`` and wait for their outcomes, without limit, in order within a key.

        Pub/Sub refuses a request as a whole. So a message that was refused before is sent in a
        request of its own, and cannot make other messages fail again. Later messages of its
        ordering key are not sent by this call.

        Raises:
            StoppedError: the relay must stop.
        """
        together, alone = _split(messages)
        outcomes = self._send_in_one_request(together)
        for start in range(0, len(alone), _ALONE_AT_A_TIME):
            outcomes += self._send_each(alone[start : start + _ALONE_AT_A_TIME])
        return outcomes

    def _send_in_one_request(self, messages: Sequence[OutboxMessage]) -> Outcomes:
        return self._wait(messages, self._begin(messages))

    def _send_each(self, messages: Sequence[OutboxMessage]) -> Outcomes:
        return self._wait(messages, [self._begin([message])[0] for message in messages])

    def _begin(self, messages: Sequence[OutboxMessage]) -> list[Future[str]]:
        if not messages:
            return []
        with silent(all(message.is_caused_by_record for message in messages)):
            try:
                outcomes = outcomes_of(self._backend, [*map(_as_message, messages)])
            except Exception as error:  # noqa: BLE001 - any backend may be in use
                self._log_error("%r could not send.")
                return [Refused(error).future for _ in messages]
            try:
                self._backend.flush(0)
            except Exception:  # noqa: BLE001
                self._log_error("%r could not send at once.")
            return [outcome.future for outcome in outcomes]

    def _log_error(self, text: str) -> None:
        log_publishing(logger, logging.ERROR, text, self._backend, exc_info=True)

    def _wait(self, messages: Sequence[OutboxMessage], futures: Sequence[Future[str]]) -> Outcomes:
        self._checks_without_outcome = 0
        with silent(all(message.is_caused_by_record for message in messages)):
            return [
                (message, self._outcome_of(future))
                for message, future in zip(messages, futures, strict=True)
            ]

    def _outcome_of(self, future: Future[str]) -> BaseException | None:
        """Wait without limit: the backend limits its retries."""
        while True:
            try:
                return future.exception(timeout=_CHECK_SECONDS)
            except CancelledError as error:
                return error
            except FutureTimeoutError:
                if self._stop.is_requested:
                    raise StoppedError from None
                self._checks_without_outcome += 1
                if self._checks_without_outcome == _CHECKS_BEFORE_WARNING:
                    log_publishing(
                        logger,
                        logging.WARNING,
                        "Waiting for Pub/Sub, which has not accepted a batch for %.0f s.",
                        self._checks_without_outcome * _CHECK_SECONDS,
                    )


def _split(
    messages: Sequence[OutboxMessage],
) -> tuple[list[OutboxMessage], list[OutboxMessage]]:
    """The messages to send together, and the messages to send alone.

    Messages that follow a refused message of their ordering key are in neither list.
    """
    together: list[OutboxMessage] = []
    alone: list[OutboxMessage] = []
    begun: set[tuple[str, str]] = set()
    closed: set[tuple[str, str]] = set()
    for message in messages:
        key = (message.topic, message.ordering_key)
        if not message.ordering_key:
            (alone if message.attempts else together).append(message)
        elif key in closed:
            continue
        elif not message.attempts:
            together.append(message)
            begun.add(key)
        else:
            closed.add(key)
            if key not in begun:
                alone.append(message)
    return together, alone


def _as_message(message: OutboxMessage) -> Message:
    return Message(
        topic=message.topic,
        data=bytes(message.data),
        attributes=message.sent_attributes,
        ordering_key=message.ordering_key,
    )
