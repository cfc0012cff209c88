"""Encoding messages and handing them to a backend, with the hooks around each message."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from itertools import repeat
from typing import Any

from rele.backends import Accepted, BaseBackend, Deferred, Message, Outcome, Refused
from rele.endpoint import what_to_check
from rele.messages.explaining import with_text
from rele.runtime.own_records import log_publishing
from rele.sending.awaiting import AwaitedCall
from rele.sending.backend_answers import failure_of, outcomes_of
from rele.sending.event_loops import LoopsInUse
from rele.sending.outstanding import OutstandingPublishes
from rele.sending.publication import Publication, data_and_attributes

logger = logging.getLogger(__name__)

_TIMEOUTS = (FutureTimeoutError, TimeoutError)
"""Two names of one class from Python 3.11 on."""


class Publisher:
    """Encodes data, hands it to a backend and runs the hooks around it.

    Args:
        backend: where the messages go.
        encoder: a JSONEncoder class.
        timeout: seconds that a blocking publish waits.
        blocking: the default of ``publish(blocking=…)``.
    """

    def __init__(
        self,
        backend: BaseBackend,
        encoder: type[json.JSONEncoder],
        timeout: float,
        blocking: bool | None = None,
    ) -> None:
        self._backend = backend
        self._encoder = encoder
        self._timeout = timeout
        self._blocking = blocking
        self._outstanding = OutstandingPublishes(backend, timeout)
        self._loops = LoopsInUse(self._send_at_once)

    @property
    def backend(self) -> BaseBackend:
        """Where the messages go."""
        return self._backend

    def publish(
        self,
        /,
        topic: str,
        data: Any,
        blocking: bool | None = None,
        timeout: float | None = None,
        raise_exception: bool = True,
        **attrs: Any,
    ) -> Future[str]:
        """Publish ``data`` as JSON, with ``attrs`` and ``published_at`` as its attributes.

        After ``pre_publish`` exactly one of the hooks ``post_publish_success`` and
        ``post_publish_failure`` runs. It runs before this method returns if the call blocks or the
        message is refused at once; otherwise it runs in the thread that completes the future. If
        the backend stores the message to be sent later, it runs in the process that sends it.

        Args:
            topic: the topic's id, without the project.
            data: any value that the encoder can encode.
            blocking: wait until Pub/Sub has accepted the message; ``None``: the Publisher's
                default. In a running event loop that stops all its tasks, which is logged once.
            timeout: seconds that a blocking call waits; ``None``: the Publisher's default.
            raise_exception: whether a failure is raised here. The hook and the future report it in
                either case.
            attrs: strings. ``ordering_key`` becomes the message's ordering key.

        Returns:
            a future of the message id.

        Raises:
            TypeError, ValueError: the data cannot be encoded, or Pub/Sub would refuse the topic's
                name, an attribute, or the size: its limits are checked before anything is sent.
            TimeoutError: (``concurrent.futures.TimeoutError``) the message was not accepted in
                time. It may still arrive: the client continues to send it.
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused the message.
        """
        publication = Publication(topic, data, attrs)
        return self._publish([publication], blocking, timeout, raise_exception)[0]

    def publish_many(
        self,
        topic: str,
        messages: Iterable[Any],
        blocking: bool | None = None,
        timeout: float | None = None,
        raise_exception: bool = True,
    ) -> list[Future[str]]:
        """Publish several messages together, which is faster than to publish each of them.

        Args:
            topic: the topic's id, without the project.
            messages: for each message its data, or a tuple of data and attributes (a mapping).
            blocking, timeout, raise_exception: as for :meth:`publish`; the timeout is for all
                messages together.

        Returns:
            a future of the message id for each message, in the same order.

        Raises:
            Exception: any error of :meth:`publish`, for the first message that failed. The others
                are sent, except later messages with its ordering key.
        """
        publications = [Publication(topic, *data_and_attributes(item)) for item in messages]
        return self._publish(publications, blocking, timeout, raise_exception)

    async def apublish(
        self,
        /,
        topic: str,
        data: Any,
        timeout: float | None = None,
        raise_exception: bool = True,
        **attrs: Any,
    ) -> Future[str]:
        """Publish, and wait for the outcome without blocking the running event loop.

        Arguments, result and errors are those of a blocking :meth:`publish`. If the task is
        cancelled, the message is sent all the same, and its hooks run.
        """
        publication = Publication(topic, data, attrs)
        return (await self._apublish([publication], timeout, raise_exception))[0]

    async def apublish_many(
        self,
        topic: str,
        messages: Iterable[Any],
        timeout: float | None = None,
        raise_exception: bool = True,
    ) -> list[Future[str]]:
        """Publish several messages together, as :meth:`apublish` does one.

        Arguments, result and errors are those of a blocking :meth:`publish_many`.
        """
        publications = [Publication(topic, *data_and_attributes(item)) for item in messages]
        return await self._apublish(publications, timeout, raise_exception)

    def flush(self, timeout: float | None = None) -> bool:
        """Send all accepted messages at once, and wait until the hooks have run.

        Args:
            timeout: seconds; ``None`` waits without limit.

        Returns:
            whether Pub/Sub has accepted all messages in time.
        """
        return self._outstanding.flush(timeout)

    def close(self) -> None:
        """Send all accepted messages, wait until the hooks have run, and close the connections.

        Nothing can be published any more.
        """
        self.flush()
        self._backend.close()
        self._backend.release()

    def _publish(
        self,
        publications: Sequence[Publication],
        blocking: bool | None,
        timeout: float | None,
        raise_exception: bool,
    ) -> list[Future[str]]:
        for publication in publications:
            publication.run_pre_publish()
        outcomes = self._send(publications)
        pending = deque(zip(publications, outcomes, strict=True))
        if self._blocking if blocking is None else blocking:
            seconds = self._timeout if timeout is None else timeout
            self._send_at_once()
            self._loops.warn_if_running(seconds)
            errors = self._wait(pending, seconds)
        else:
            errors = [_conclude(*each, self._watch) for each in pending]
        return _answer([outcome.future for outcome in outcomes], errors, raise_exception)

    async def _apublish(
        self, publications: Sequence[Publication], timeout: float | None, raise_exception: bool
    ) -> list[Future[str]]:
        seconds = self._timeout if timeout is None else timeout
        in_thread = self._backend.run_in_thread(
            partial(self._publish, publications, True, seconds, raise_exception)
        )
        if in_thread is not None:
            return await in_thread
        for publication in publications:
            publication.run_pre_publish()
        outcomes = self._send(publications)
        loop = self._loops.running()
        awaited = AwaitedCall(loop, self._outstanding.watch)
        for publication, outcome in zip(publications, outcomes, strict=True):
            _conclude(publication, outcome, awaited.add)
        loop.send_soon()
        futures = [outcome.future for outcome in outcomes]
        errors = await awaited.errors(futures, seconds, partial(self._time_out, seconds))
        return _answer(futures, errors, raise_exception)

    def _send(self, publications: Sequence[Publication]) -> list[Outcome]:
        """Hand all messages to the backend at once; failures are in the outcomes, not raised."""
        encoded = [publication.encode(self._encoder) for publication in publications]
        messages = [message for message in encoded if isinstance(message, Message)]
        try:
            sent = iter(outcomes_of(self._backend, messages))
        except Exception as error:  # noqa: BLE001 - after any error the messages are not sent
            sent = repeat(Refused(error))
        return [next(sent) if isinstance(each, Message) else each for each in encoded]

    def _send_at_once(self) -> None:
        try:
            self._backend.flush(0)
        except Exception:  # noqa: BLE001 - the futures have the outcomes
            log_publishing(
                logger, logging.ERROR, "%r could not send at once.", self._backend, exc_info=True
            )

    def _watch(self, publication: Publication, future: Future[str]) -> BaseException | None:
        """Let the hooks run when the future is done; return the error if it has failed already."""
        error = failure_of(future) if future.done() else None
        if error is not None:
            publication.report_failure(error)
        else:
            self._outstanding.watch(future, publication.report)
        return error

    def _wait(
        self, pending: deque[tuple[Publication, Outcome]], timeout: float
    ) -> list[BaseException | None]:
        """Wait for all messages; return the error of each, or ``None``."""
        deadline, left = time.monotonic() + timeout, timeout
        errors: list[BaseException | None] = []
        try:
            while pending:
                wait_for = partial(self._wait_for, left=left, timeout=timeout)
                errors.append(_conclude(*pending[0], wait_for))
                pending.popleft()
                left = max(deadline - time.monotonic(), 0)
        except BaseException:  # Ctrl-C: the messages are still on their way
            for each in pending:
                _conclude(*each, self._watch)
            raise
        return errors

    def _wait_for(
        self, publication: Publication, future: Future[str], left: float, timeout: float
    ) -> BaseException | None:
        try:
            future.result(timeout=left)
        except Exception as caught:  # noqa: BLE001 - the caller decides
            error = caught
            if isinstance(error, _TIMEOUTS) and not str(error):
                error = with_text(error, self._text_of_timeout(publication.topic, timeout))
            publication.report_failure(error)
            if isinstance(error, _TIMEOUTS):
                # The message may still arrive, so the end of the process waits for it. Its hooks
                # have run.
                self._outstanding.watch(future, lambda future: None)
            return error
        publication.report_success()
        return None

    def _time_out(self, timeout: float, publication: Publication) -> BaseException:
        return FutureTimeoutError(self._text_of_timeout(publication.topic, timeout))

    def _text_of_timeout(self, topic: str, timeout: float) -> str:
        where, advice = type(self._backend).__name__, ""
        if self._backend.address:
            where, advice = self._backend.address, what_to_check(self._backend.address)
        return (
            f"{where} did not accept the message for the topic {topic!r} within {timeout:g} s. It "
            "may still arrive: sending continues. Allow more time with PUBLISHER_TIMEOUT or "
            f"publish(timeout=…). {advice[:1].upper()}{advice[1:]}"
        ).rstrip()


def _answer(
    futures: list[Future[str]],
    errors: Iterable[BaseException | None],
    raise_exception: bool,
) -> list[Future[str]]:
    """Return ``futures``, or raise the first of ``errors``."""
    if raise_exception:
        for error in errors:
            if error is not None:
                raise error
    return futures


def _conclude(
    publication: Publication,
    outcome: Outcome,
    follow: Callable[[Publication, Future[str]], BaseException | None],
) -> BaseException | None:
    """Run the hooks of a refused message, and call ``follow`` for an accepted one.

    Returns:
        the error, if the message has failed already.
    """
    if isinstance(outcome, Accepted):
        return follow(publication, outcome.future)
    if isinstance(outcome, Deferred):
        return None
    publication.report_failure(outcome.error)
    return outcome.error
