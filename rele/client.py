"""Publisher and Subscriber: Relé's own face of Google's two clients."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, NamedTuple

import google.auth
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import pubsub_v1

from rele.attributes import check_attributes
from rele.backends import BaseBackend, Message
from rele.backends.pubsub import PubSubBackend
from rele.encoding import EncodedPayload, encode
from rele.engine.clients import make_client
from rele.engine.connection import Transport, harden
from rele.engine.outstanding import OutstandingPublishes
from rele.engine.topics import TopicWatch
from rele.middleware import run_middleware_hook
from rele.resources import (
    DEFAULT_RETRY_POLICY,
    NEWER_OPTIONS,
    Resources,
    google_fields,
    update_or_create,
)
from rele.retry_policy import RetryPolicy
from rele.subscription import Callback, Subscription
from rele.subscription_options import SubscriptionOptions

logger = logging.getLogger(__name__)

#: Whether an emulator was configured when this module was loaded.
USE_EMULATOR = bool(os.environ.get("PUBSUB_EMULATOR_HOST"))

DEFAULT_ACK_DEADLINE = 60
"""Seconds."""


def uses_emulator() -> bool:
    """Whether a client that is made now talks to an emulator, and so needs no credentials."""
    return USE_EMULATOR or bool(os.environ.get("PUBSUB_EMULATOR_HOST"))


def get_google_defaults() -> tuple[Any, str | None]:
    """Application Default Credentials and the project they name; ``(None, None)`` without any.

    This may dial Google's metadata server, so it is asked only where nothing else was given.
    """
    try:
        credentials, project_id = google.auth.default()
    except DefaultCredentialsError:
        return None, None
    return credentials, project_id


class _Connection(NamedTuple):
    """What a Publisher that is built by hand tells its backend."""

    gc_project_id: str | None
    credentials: Any
    client_options: Any


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
            _Connection(gc_project_id, None if uses_emulator() else credentials, client_options)
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
            TypeError, ValueError: the data cannot be encoded, or an attribute is no string, too
                long or one too many.
            TimeoutError: (``concurrent.futures.TimeoutError``) it was not accepted in time. The
                message may still arrive: the client goes on trying.
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused it.
        """
        blocking = self._blocking if blocking is None else blocking
        timeout = self._timeout if timeout is None else timeout
        ordering_key = attrs.pop("ordering_key", "")
        attrs["published_at"] = str(time.time())
        run_middleware_hook("pre_publish", topic, data, attrs)
        publication = _Publication(topic, data, attrs, ordering_key)
        future = self._send(publication)
        if blocking:
            self._send_at_once()
            self._wait(future, publication, timeout, raise_exception)
        elif error := _error_on_the_spot(future):
            publication.report_failure(error)
            if raise_exception:
                raise error
        else:
            self._outstanding.watch(future, publication.report)
        return future

    def flush(self, timeout: float | None = None) -> bool:
        """Send at once what was accepted and wait until the hooks have run.

        Args:
            timeout: seconds; ``None`` waits without limit.

        Returns:
            whether all of it was accepted by Pub/Sub in time.
        """
        return self._outstanding.flush(timeout)

    def _send(self, publication: _Publication) -> Future[str]:
        try:
            future = self._backend.send([publication.encode(self._encoder)])[0]
        except Exception as error:  # noqa: BLE001 - whatever it is, the publish has failed
            refused: Future[str] = Future()
            refused.set_exception(error)
            return refused
        publication.is_deferred = self._backend.defers_outcome
        return future

    def _send_at_once(self) -> None:
        try:
            self._backend.flush(0)
        except Exception:
            logger.exception("%r could not send at once.", self._backend)

    def _wait(
        self,
        future: Future[str],
        publication: _Publication,
        timeout: float,
        raise_exception: bool,
    ) -> None:
        try:
            future.result(timeout=timeout)
        except Exception as error:
            publication.report_failure(error)
            if isinstance(error, FutureTimeoutError):
                # It may still arrive: the end of the process waits for it, the hooks do not.
                self._outstanding.watch(future, lambda future: None)
            if raise_exception:
                raise
        except BaseException:  # Ctrl-C: the message is still on its way
            self._outstanding.watch(future, publication.report)
            raise
        else:
            publication.report_success()


class _Publication:
    """One call of publish, and the hooks that say how it ended."""

    def __init__(self, topic: str, data: Any, attrs: dict[str, Any], ordering_key: str) -> None:
        self._topic = topic
        self._data = data
        self._attrs = attrs
        self._ordering_key = ordering_key
        self.is_deferred = False
        """Whether a backend has accepted it whose sender runs the outcome hooks, later."""
        self._payload: Any = data

    def encode(self, encoder: type[json.JSONEncoder]) -> Message:
        check_attributes(self._attrs)
        payload = encode(self._data, encoder)
        self._payload = EncodedPayload(payload)
        self._payload.attributes = self._attrs
        return Message(self._topic, payload, dict(self._attrs), self._ordering_key)

    def report(self, future: Future[str]) -> None:
        error = future.exception()
        if error is None:
            self.report_success()
        else:
            self.report_failure(error)

    def report_success(self) -> None:
        if self.is_deferred:
            return
        run_middleware_hook("post_publish_success", self._topic, self._data, self._attrs)
        run_middleware_hook("post_publish", self._topic)

    def report_failure(self, error: BaseException) -> None:
        if not self.is_deferred:
            run_middleware_hook("post_publish_failure", self._topic, error, self._payload)


def _error_on_the_spot(future: Future[str]) -> BaseException | None:
    error = future.exception() if future.done() else None
    return error if isinstance(error, BaseException) else None


class Subscriber:
    """Makes the subscriptions of one project and consumes them.

    Args:
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        message_storage_policy: the regions in which the messages of topics that are made here are
            kept; one region as a string is deprecated.
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
        self._gc_project_id = gc_project_id
        self.credentials = None if uses_emulator() else credentials
        self._message_storage_policy = message_storage_policy
        self._client_options = client_options
        self._ack_deadline = default_ack_deadline or DEFAULT_ACK_DEADLINE
        self._retry_policy = default_retry_policy
        self._client: Any = make_client(
            pubsub_v1.SubscriberClient,
            credentials=self.credentials,
            client_options=client_options,
            **({"transport": Transport} if resilient else {}),
        )
        self._availability = harden(self._client) if resilient else None

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
            "retry_policy": subscription.retry_policy or self._retry_policy,
            "ack_deadline": self._ack_deadline,
        }
        request = {
            "name": self._client.subscription_path(self._gc_project_id, subscription.name),
            "topic": self._client.topic_path(self._gc_project_id, subscription.topic),
            **google_fields({option: value for option, value in options.items() if value}),
        }
        update_or_create(
            self._client, self.make_topic_client, request, self._message_storage_policy
        )

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
        path = self._client.subscription_path(self._gc_project_id, subscription_name)
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
        return TopicWatch(self._client, self._gc_project_id, subscriptions, makes_again)

    def close(self) -> None:
        """Close the connection; the Subscriber cannot be used any more."""
        self._client.close()

    def make_topic_client(self) -> Any:
        """A publisher client, for topics that have to be made."""
        return make_client(
            pubsub_v1.PublisherClient,
            credentials=self.credentials,
            client_options=self._client_options,
        )

    def _own_resources(self) -> Resources:
        """As the Subscriber was told alone: without a retry policy where none is stated."""
        stated = SubscriptionOptions(retry_policy=self._retry_policy)
        return self._make_resources(str(self._gc_project_id), stated, None)

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
            regions=self._message_storage_policy,
            defaults=defaults,
            for_new=SubscriptionOptions(
                ack_deadline=self._ack_deadline, retry_policy=retry_policy_of_new
            ),
        )
