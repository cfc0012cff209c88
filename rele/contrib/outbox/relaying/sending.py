"""Hands messages to a backend, and collects their outcomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from queue import Empty, SimpleQueue

from rele.backends import BaseBackend, Message, Refused
from rele.contrib.outbox.relaying.payloads import Payload
from rele.runtime.own_records import log_publishing, silent
from rele.sending.backend_answers import outcomes_of

logger = logging.getLogger(__name__)

Outcome = tuple[int, BaseException | None]
"""The id of a message, with the error, or ``None`` if Pub/Sub has accepted it."""


class Sender:
    """Sends through a backend, without waiting.

    Args:
        backend: where the messages go.
        wake: called in any thread when there is an outcome.
    """

    def __init__(self, backend: BaseBackend, wake: Callable[[], object]) -> None:
        self._backend = backend
        self._wake = wake
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()

    def send(self, messages: Sequence[Payload]) -> None:
        """Hand messages over together; the outcome of each comes by :meth:`outcomes`.

        Args:
            messages: at least one, in order within an ordering key.
        """
        with silent(all(message.is_caused_by_record for message in messages)):
            futures = self._begin(messages)
            for message, future in zip(messages, futures, strict=True):
                future.add_done_callback(partial(self._note, message.id))

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes that are known and were not returned before."""
        while True:
            try:
                yield self._outcomes.get_nowait()
            except Empty:
                return

    def _begin(self, messages: Sequence[Payload]) -> list[Future[str]]:
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

    def _note(self, id_: int, future: Future[str]) -> None:
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        self._outcomes.put((id_, error))
        self._wake()


def _as_message(message: Payload) -> Message:
    return Message(
        topic=message.topic,
        data=bytes(message.data),
        attributes=message.sent_attributes,
        ordering_key=message.ordering_key,
    )
