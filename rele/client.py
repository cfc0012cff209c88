"""Publisher and Subscriber: Relé's own face of Google's two clients."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import google.auth
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

from rele.backends import BaseBackend, Message
from rele.backends.pubsub import PubSubBackend
from rele.declaration.options import SubscriptionOptions
from rele.endpoint import uses_emulator, what_to_check
from rele.engine.connection import Connection
from rele.engine.google.connection import Transport, harden
from rele.messages.explaining import with_text
from rele.messages.limits import TooLargeError
from rele.resources import (
    DEFAULT_RETRY_POLICY,
    NEWER_OPTIONS,
    Resources,
    google_fields,
    update_or_create,
)
from rele.resources.topic_watch import TopicWatch
from rele.retry_policy import RetryPolicy
from rele.schema.settings import storage_regions
from rele.sending.outstanding import OutstandingPublishes
from rele.sending.own_records import log_publishing
from rele.sending.publication import Publication, data_and_attributes, error_on_the_spot, failed
from rele.subscription import Callback, Subscription

logger = logging.getLogger(__name__)

#: Whether an emulator was configured when this module was loaded.
USE_EMULATOR = uses_emulator()

DEFAULT_ACK_DEADLINE = 60
"""Seconds."""

_TIMEOUTS = (FutureTimeoutError, TimeoutError)
"""One class from Python 3.11 on."""


def _unless_emulated(credentials: Any) -> Any:
    """``credentials`` as a client needs them: none under an emulator.

    ``USE_EMULATOR`` counts, too: tests of projects patch it.
    """
    return None if USE_EMULATOR or uses_emulator() else credentials


def get_google_defaults() -> tuple[Any, str | None]:
    """Application Default Credentials and the project they name; ``(None, None)`` without any.

    This may dial Google's metadata server, so it is asked only where nothing else was given.
    """
    try:
        credentials, project_id = google.auth.default()
    except DefaultCredentialsError:
        return None, None
    return credentials, project_id


def _as_google_has_it(encoded: Message | Exception) -> Message | Exception:
    """An error of the class that Google's client raises, which callers may catch."""
    return MessageTooLargeError(str(encoded)) if isinstance(encoded, TooLargeError) else encoded


class Publisher:
    """Encodes data, hands it to a backend and runs the hooks around it.

    Keep one in a process, as :func:`rele.publish` does: each has a client of its own.

    Args:
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        encoder: a JSONEncoder class.
        timeout: seconds that a blocking publish waits.
        client_options: for Google's client.
        blocking: whether ``publish`` waits where it is not told.
        backend: what sends the messages; by default Google's client.
    """

    def __init__(
        self,
        gc_project_id: str | None,
        credentials: Any,
        encoder: type[json.JSONEncoder],
        timeout: float,
        client_options: dict[str, Any] | None,
        blocking: bool | None = None,
        *,
        backend: BaseBackend | None = None,
    ) -> None:
        self._encoder = encoder
        self._timeout = timeout
        self._blocking = blocking
        self._backend = backend or PubSubBackend(
            Connection(gc_project_id, _unless_emulated(credentials), client_options)
        )
        self._outstanding = OutstandingPublishes(self._backend, timeout)

    @property
    def _client(self) -> Any:
        return getattr(self._backend, "client", None)

    @_client.setter
    def _client(self, client: Any) -> None:
        self._backend.client = client  # type: ignore[attr-defined]

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

        Exactly one of the hooks ``post_publish_success`` and ``post_publish_failure`` follows
        ``pre_publish``: before this returns where it blocks or where the message is refused on
        the spot, else in the thread that completes the future.

        Args:
            topic: the topic's id, without the project.
            data: whatever the encoder takes.
            blocking: wait until Pub/Sub has accepted the message; ``None``: as the Publisher was
                told.
            timeout: seconds to wait if so; ``None``: as the Publisher was told.
            raise_exception: whether a failure is raised here, or only told to the hook and by
                the future.
            attrs: strings. ``ordering_key`` becomes the message's ordering key.

        Returns:
            a future of the message id.

        Raises:
            TypeError, ValueError: the data cannot be encoded, or Pub/Sub would refuse the topic's
                name, an attribute, or the size: its limits are checked before anything is sent.
            TimeoutError: (``concurrent.futures.TimeoutError``) it was not accepted in time. The
                message may still arrive: the client goes on trying.
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused it.
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
        """Publish several messages together; what can be done for all at once is.

        Args:
            topic: the topic's id, without the project.
            messages: for each its data, or a tuple of data and attributes (a mapping).
            blocking, timeout, raise_exception: as for :meth:`publish`; the timeout is that of all
                together.

        Returns:
            a future of the message id for each, in their order.

        Raises:
            what :meth:`publish` raises, for the first message that failed; all others are sent,
            but for those that come after it of its ordering key.
        """
        publications = [Publication(topic, *data_and_attributes(item)) for item in messages]
        return self._publish(publications, blocking, timeout, raise_exception)

    def flush(self, timeout: float | None = None) -> bool:
        """Send at once what was accepted and wait until the hooks have run.

        Args:
            timeout: seconds; ``None`` waits without limit.

        Returns:
            whether all of it was accepted by Pub/Sub in time.
        """
        return self._outstanding.flush(timeout)

    def close(self) -> None:
        """Send what was accepted, wait until the hooks have run, and close the connections.

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
        futures = self._send(publications)
        pending = deque(zip(publications, futures, strict=True))
        if self._blocking if blocking is None else blocking:
            self._send_at_once()
            errors = self._wait(pending, self._timeout if timeout is None else timeout)
        else:
            errors = [self._leave(publication, future) for publication, future in pending]
        error = next(filter(None, errors), None)
        if error is not None and raise_exception:
            raise error
        return futures

    def _send(self, publications: Sequence[Publication]) -> list[Future[str]]:
        """Hand all to the backend at once; nothing is raised, the futures tell."""
        encoded = [_as_google_has_it(p.encode(self._encoder)) for p in publications]
        messages = [message for message in encoded if isinstance(message, Message)]
        try:
            sent = iter(self._backend.send(messages) if messages else ())
        except Exception as error:  # noqa: BLE001 - whatever it is, the publish has failed
            sent = iter([failed(error) for _ in messages])
        futures = [next(sent) if isinstance(m, Message) else failed(m) for m in encoded]
        if self._backend.defers_outcome:
            for publication, future in zip(publications, futures, strict=True):
                publication.is_deferred = error_on_the_spot(future) is None
        return futures

    def _send_at_once(self) -> None:
        try:
            self._backend.flush(0)
        except Exception:  # noqa: BLE001 - the futures tell what became of the messages
            log_publishing(
                logger, logging.ERROR, "%r could not send at once.", self._backend, exc_info=True
            )

    def _leave(self, publication: Publication, future: Future[str]) -> BaseException | None:
        """Let the hooks run whenever the outcome is known; return what is wrong already."""
        if publication.is_deferred and future.done():
            return None  # there is nothing left to wait for
        error = error_on_the_spot(future)
        if error is not None:
            publication.report_failure(error)
        else:
            self._outstanding.watch(future, publication.report)
        return error

    def _wait(
        self, pending: deque[tuple[Publication, Future[str]]], timeout: float
    ) -> list[BaseException | None]:
        """Wait for all; return for each what went wrong."""
        deadline, left = time.monotonic() + timeout, timeout
        errors: list[BaseException | None] = []
        try:
            while pending:
                errors.append(self._wait_for(*pending[0], left, timeout))
                pending.popleft()
                left = max(deadline - time.monotonic(), 0)
        except BaseException:  # Ctrl-C: the messages are still on their way
            for publication, future in pending:
                self._outstanding.watch(future, publication.report)
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
                # It may still arrive: the end of the process waits for it, the hooks do not.
                self._outstanding.watch(future, lambda future: None)
            return error
        publication.report_success()
        return None

    def _text_of_timeout(self, topic: str, timeout: float) -> str:
        where, advice = type(self._backend).__name__, ""
        if self._backend.address:
            where, advice = self._backend.address, what_to_check(self._backend.address)
        return (
            f"{where} did not accept the message for the topic {topic!r} within {timeout:g} s. It "
            "may still arrive: sending it goes on. Allow more time with PUBLISHER_TIMEOUT or "
            f"publish(timeout=…). {advice[:1].upper()}{advice[1:]}"
        ).rstrip()


class Subscriber:
    """Makes the subscriptions of one project and consumes them.

    Args:
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        message_storage_policy: the regions in which the messages of topics that are made here are
            kept, or ``None``; one region as a string is deprecated.
        client_options: for Google's clients.
        default_ack_deadline: seconds.
        default_retry_policy: for subscriptions that state none; ``None`` sends none.
        resilient: whether the connection is made again soon after an outage, and outages are
            logged, as for the workers of ``create_and_run``.
    """

    def __init__(
        self,
        gc_project_id: str | None,
        credentials: Any,
        message_storage_policy: Sequence[str] | str | None,
        client_options: dict[str, Any] | None,
        default_ack_deadline: int | None = None,
        default_retry_policy: RetryPolicy | None = None,
        *,
        resilient: bool = False,
    ) -> None:
        self._connection = Connection(
            gc_project_id,
            _unless_emulated(credentials),
            client_options,
            storage_regions(message_storage_policy),
            default_ack_deadline or DEFAULT_ACK_DEADLINE,
            default_retry_policy,
        )
        self._client: Any = self._connection.make_client(
            pubsub_v1.SubscriberClient, **({"transport": Transport} if resilient else {})
        )
        self._availability = harden(self._client) if resilient else None

    @property
    def credentials(self) -> Any:
        """Google credentials, ``None`` under the emulator."""
        return self._connection.credentials

    def update_or_create_subscription(self, subscription: Subscription) -> None:
        """Create ``subscription`` and, where it is missing, its topic.

        Of one that exists the retry policy is updated, where one is stated here or as default,
        and whatever else the declaration states.

        Raises:
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused it.
            ResourceError: likewise, of a declaration that states more than the topic, a filter
                and a retry policy.
        """
        if NEWER_OPTIONS & subscription.options.stated().keys():
            resources = self._own_resources()
            resources.apply(resources.plan([subscription]))
            return
        options = {
            "backend_filter_by": subscription.backend_filter_by,
            "retry_policy": subscription.retry_policy or self._connection.retry_policy,
            "ack_deadline": self._connection.ack_deadline,
        }
        request = {
            "name": self._client.subscription_path(
                self._connection.gc_project_id, subscription.name
            ),
            "topic": self._client.topic_path(self._connection.gc_project_id, subscription.topic),
            **google_fields({option: value for option, value in options.items() if value}),
        }
        update_or_create(self._client, self.make_topic_client, request, self._connection.regions)

    def consume(
        self,
        subscription_name: str,
        callback: Callback,
        scheduler: Any,
        *,
        flow_control: Any = None,
    ) -> Any:
        """Begin to pull the messages of a subscription.

        Args:
            subscription_name: its id, without the project.
            callback: called with each message.
            scheduler: runs the callbacks in its threads.
            flow_control: Google's FlowControl; by default what its client chooses.

        Returns:
            Google's StreamingPullFuture, which ends when the stream does.
        """
        path = self._client.subscription_path(self._connection.gc_project_id, subscription_name)
        more = {} if flow_control is None else {"flow_control": flow_control}
        return self._client.subscribe(path, callback=callback, scheduler=scheduler, **more)

    def resources(self, gc_project_id: str, defaults: SubscriptionOptions) -> Resources:
        """What compares and changes topics and subscriptions, by this Subscriber's clients.

        ``defaults`` are stated for all subscriptions. One that is made gets the Subscriber's ack
        deadline and the default retry policy where nothing else is stated.
        """
        return self._make_resources(gc_project_id, defaults, DEFAULT_RETRY_POLICY)

    @property
    def is_away(self) -> bool:
        """Whether Pub/Sub is known not to answer now; only a resilient one knows."""
        return self._availability is not None and self._availability.is_away

    def watch_topics(self, subscriptions: Sequence[Subscription], makes_again: bool) -> TopicWatch:
        """What says, once started, that topics were deleted; ``makes_again``: of the worker."""
        return TopicWatch(self._client, self._connection.gc_project_id, subscriptions, makes_again)

    def close(self) -> None:
        """Close the connection; the Subscriber cannot be used any more."""
        self._client.close()

    def make_topic_client(self) -> Any:
        """A publisher client, for topics that have to be made."""
        return self._connection.make_client(pubsub_v1.PublisherClient)

    def _own_resources(self) -> Resources:
        """As the Subscriber was told alone: without a retry policy where none is stated."""
        stated = SubscriptionOptions(retry_policy=self._connection.retry_policy)
        return self._make_resources(str(self._connection.gc_project_id), stated, None)

    def _make_resources(
        self,
        gc_project_id: str,
        defaults: SubscriptionOptions,
        retry_policy_of_new: RetryPolicy | None,
    ) -> Resources:
        return Resources(
            gc_project_id,
            self._client,
            self.make_topic_client,
            regions=self._connection.regions,
            defaults=defaults,
            for_new=SubscriptionOptions(
                ack_deadline=self._connection.ack_deadline, retry_policy=retry_policy_of_new
            ),
        )
