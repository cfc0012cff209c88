"""Encoding messages and handing them to a backend, with the hooks around each message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeGuard

from rele.backends import BaseBackend, Deferred, Message, Outcome, Refused, Report
from rele.sending.awaiting import AwaitedCall
from rele.sending.backend_answers import ANY_OUTCOME, checked_answers, failure_of, is_real
from rele.sending.blocking import BlockingCall
from rele.sending.ends import Forked
from rele.sending.event_loops import LoopsInUse
from rele.sending.outstanding import OutstandingPublishes
from rele.sending.publication import Call, Publication, each_data_and_attributes
from rele.sending.room import SLICE, hand_over_in_turn, is_full
from rele.sending.scheduling import Scheduler

Errors = dict[Publication, BaseException | None]


class Publisher:
    """Encodes data, hands it to a backend and runs the hooks around it.

    Args:
        backend: where the messages go.
        encoder: a JSONEncoder class.
        timeout: seconds that a blocking publish waits.
        blocking: the default of ``publish(blocking=…)``.
        forked: what the setting ``PUBLISHER_FORKED`` says.
    """

    def __init__(
        self,
        backend: BaseBackend,
        encoder: type[json.JSONEncoder],
        timeout: float,
        blocking: bool | None = None,
        *,
        forked: Forked | None = None,
    ) -> None:
        self._backend = backend
        self._encoder = encoder
        self._timeout = timeout
        self._blocking = blocking
        self._outstanding = OutstandingPublishes(backend, timeout, forked)
        self._loops = LoopsInUse(backend.send_at_once)
        in_thread = getattr(type(backend), "run_in_thread", None)  # a test's stand-in may lack it
        self.scheduler = Scheduler(backend, encoder, self._outstanding)
        """For messages that are sent later."""
        self._runs_in_thread = in_thread not in (None, BaseBackend.run_in_thread)

    @property
    def backend(self) -> BaseBackend:
        """Where the messages go."""
        return self._backend

    @property
    def outstanding(self) -> tuple[int, int | None]:
        """How many messages are not sent yet, and their bytes, where the backend knows these."""
        known: tuple[int, int] | None = getattr(self._backend, "outstanding", None)
        return (self._outstanding.count, None) if known is None else known

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
                default.
            timeout: seconds that a blocking call waits; ``None``: the Publisher's default.
            raise_exception: whether a failure is raised here. The hook and the future report it in
                either case.
            attrs: strings. ``ordering_key`` becomes the message's ordering key.

        Returns:
            a future of the message id.

        Raises:
            TypeError, ValueError: the data cannot be encoded, or Pub/Sub would refuse the topic's
                name, an attribute, or the size: its limits are checked before anything is sent.
            PublisherFull, ThreadStartError: the message was not taken, since too many are
                outstanding, or since the system starts no more threads.
            TimeoutError: (``concurrent.futures.TimeoutError``) the message was not accepted in
                time. It may still arrive: sending continues.
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused the message.
        """
        publication = Publication(topic, data, attrs, self._outstanding)
        blocks = self._blocking if blocking is None else blocking
        if blocks or self._outstanding.each_publish_waits:
            return self._publish([publication], blocking, timeout, raise_exception)[0]
        return self._publish_one(publication, timeout, raise_exception)

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
        publications = [
            Publication(topic, data, attributes, self._outstanding)
            for data, attributes in each_data_and_attributes(messages)
        ]
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
        publications = [Publication(topic, data, attrs, self._outstanding)]
        return (await self._apublish(publications, timeout, raise_exception))[0]

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
        publications = [
            Publication(topic, data, attributes, self._outstanding)
            for data, attributes in each_data_and_attributes(messages)
        ]
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
        publications: list[Publication],
        blocking: bool | None,
        timeout: float | None,
        raise_exception: bool,
    ) -> list[Future[str]]:
        seconds = self._timeout if timeout is None else timeout
        call = None
        if self._blocking if blocking is None else blocking:
            call = BlockingCall(self._backend, seconds)
        waits_anyway = call is None and bool(self._outstanding.each_publish_waits)
        _prepare(publications, call)
        try:
            at_once = waits_anyway or call is not None
            answers = self._hand_over(publications, seconds, at_once=at_once)
            futures, accepted, errors = self._follow(publications, answers)
            if waits_anyway:
                self._outstanding.wait(accepted)
            elif call is None:
                _note_failures(accepted, errors)
            else:
                self._loops.warn_if_running(seconds)
                errors |= call.wait(accepted)
        except BaseException as interruption:
            self._abandon(publications, interruption)
            if call is not None:
                call.give_up()
            raise
        if errors and raise_exception:
            _raise_first(map(errors.get, publications))
        return futures

    def _publish_one(
        self, publication: Publication, timeout: float | None, raise_exception: bool
    ) -> Future[str]:
        """As :meth:`_publish`, for one message whose outcome is not waited for, with less work."""
        publication.run_pre_publish()
        publications = [publication]
        try:
            answers: list[Any] = [publication.encode(self._encoder)]
            if isinstance(answers[0], Message):
                given = self._backend.hand_over(
                    answers,
                    [publication.report],
                    timeout=self._timeout if timeout is None else timeout,
                    at_once=False,
                )
                if _is_under_way(given):
                    self._outstanding.watch(publication, given[0])
                    return given[0]
                answers = checked_answers(self._backend, given, 1)
            futures, accepted, errors = self._follow(publications, answers)
            _note_failures(accepted, errors)
        except BaseException as interruption:
            self._abandon(publications, interruption)
            raise
        if errors and raise_exception:
            _raise_first(errors.values())
        return futures[0]

    async def _apublish(
        self, publications: list[Publication], timeout: float | None, raise_exception: bool
    ) -> list[Future[str]]:
        seconds = self._timeout if timeout is None else timeout
        if self._runs_in_thread:
            in_thread = self._backend.run_in_thread(
                partial(self._publish, publications, True, seconds, raise_exception)
            )
            if in_thread is not None:
                return await in_thread
        loop = self._loops.running()
        call = AwaitedCall(loop, self._backend, seconds)
        _prepare(publications, call)
        try:
            left = seconds
            if (
                len(publications) > SLICE
                or loop.waiting_for_room.locked()
                or is_full(answers := self._hand_over(publications, 0, at_once=False))
            ):
                hand_over = partial(self._hand_over, timeout=0, at_once=False)
                answers, left = await hand_over_in_turn(hand_over, publications, loop, seconds)
            futures, accepted, errors = self._follow(publications, answers)
            loop.send_soon()
        except BaseException as interruption:
            self._abandon(publications, interruption)
            raise
        if accepted and (ended := call.ended(len(accepted), left)) is not None:
            await ended
        call.note_errors(accepted, errors)
        if errors and raise_exception:
            _raise_first(map(errors.get, publications))
        return futures

    def _hand_over(
        self, publications: Sequence[Publication], timeout: float, *, at_once: bool
    ) -> list[Outcome | Future[str]]:
        """Hand all messages to the backend at once; failures are in the answers, not raised."""
        encoded: list[Any] = []
        messages: list[Message] = []
        reports: list[Report] = []
        for publication in publications:
            message = publication.encode(self._encoder)
            encoded.append(message)
            if isinstance(message, Message):
                messages.append(message)
                reports.append(publication.report)
        if not messages:
            return encoded
        given = self._backend.hand_over(messages, reports, timeout=timeout, at_once=at_once)
        answers = checked_answers(self._backend, given, len(messages))
        if len(answers) == len(encoded):
            return answers
        sent = iter(answers)
        return [next(sent) if isinstance(each, Message) else each for each in encoded]

    def _follow(
        self, publications: Sequence[Publication], answers: Sequence[Outcome | Future[str]]
    ) -> tuple[list[Future[str]], dict[Publication, Future[str]], Errors]:
        """Run the hooks of refused messages, and note the others as outstanding.

        Returns:
            the future of each message, those of the accepted ones, and the errors of the others.
        """
        futures: list[Future[str]] = []
        accepted: dict[Publication, Future[str]] = {}
        errors: Errors = {}
        for publication, answer in zip(publications, answers, strict=True):
            future = answer.future if isinstance(answer, ANY_OUTCOME) else answer
            futures.append(future)
            if isinstance(answer, Refused):
                errors[publication] = answer.error
                publication.conclude(answer.error)
            elif not isinstance(answer, Deferred):
                accepted[publication] = future
                if is_real(future):
                    self._outstanding.watch(publication, future)
        return futures, accepted, errors

    def _abandon(self, publications: list[Publication], interruption: BaseException) -> None:
        """Let the hooks of interrupted publications run without this call.

        Only the backend may refer to them from now on: it does if it has the messages.
        """
        for publication in publications:
            self._outstanding.watch_interrupted(publication)
        publications.clear()
        _clear_frames(interruption)


def _prepare(publications: Sequence[Publication], call: Call | None) -> None:
    for publication in publications:
        publication.call = call
        publication.run_pre_publish()


def _is_under_way(answers: Any) -> TypeGuard[list[Future[str]]]:
    """Whether the only answer is a future of which nothing is known yet."""
    return (
        type(answers) is list
        and len(answers) == 1
        and isinstance(answers[0], Future)
        and not answers[0].done()
    )


def _note_failures(accepted: Mapping[Publication, Future[str]], errors: Errors) -> None:
    """Add to ``errors`` those of the messages that have failed by now."""
    for publication, future in accepted.items():
        if future.done():
            errors[publication] = failure_of(future)


def _raise_first(errors: Iterable[BaseException | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def _clear_frames(error: BaseException) -> None:
    """Let the functions of Relé that ``error`` has left refer to nothing.

    Those of the project keep what a report of the error may show.
    """
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if str(frame.f_globals.get("__name__")).startswith("rele."):
            with suppress(RuntimeError):  # it still runs
                frame.clear()
        traceback = traceback.tb_next
