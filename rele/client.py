"""Publisher and Subscriber: Relé's own face of Google's two clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import google.auth
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import pubsub_v1

from rele.backends import BaseBackend
from rele.backends.pubsub import PubSubBackend
from rele.declaration.options import SubscriptionOptions
from rele.endpoint import uses_emulator
from rele.engine.connection import Connection
from rele.engine.google.transport import harden, transport_class
from rele.engine.times import Times
from rele.resources import (
    DEFAULT_RETRY_POLICY,
    NEWER_OPTIONS,
    Resources,
    google_fields,
    update_or_create,
)
from rele.resources.topic_watch import TopicWatch
from rele.retry_policy import RetryPolicy
from rele.schema.settings import DEFAULT_ACK_DEADLINE, storage_regions
from rele.sending.publisher import Publisher as BackendPublisher
from rele.subscription import Callback, Subscription

#: Whether an emulator was configured when this module was loaded.
USE_EMULATOR = uses_emulator()


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


class Publisher(BackendPublisher):
    """Publishes by Google's client, with the hooks of the middleware.

    Keep one in a process, as :func:`rele.publish` does: each has a client of its own.

    Args:
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        encoder: a JSONEncoder class.
        timeout: seconds that a blocking publish waits.
        client_options: for Google's client.
        blocking: whether ``publish`` waits where the call does not say so.
        backend: where the messages go instead of to Google's client.
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
        connection = Connection(gc_project_id, _unless_emulated(credentials), client_options)
        super().__init__(backend or PubSubBackend(connection), encoder, timeout, blocking)

    @property
    def _client(self) -> Any:
        return getattr(self._backend, "client", None)

    @_client.setter
    def _client(self, client: Any) -> None:
        self._backend.client = client  # type: ignore[attr-defined]


class Subscriber:
    """Creates the subscriptions of one project and consumes them.

    Args:
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        message_storage_policy: the regions in which topics that are created keep their messages,
            or ``None``; one region as a string is deprecated.
        client_options: for Google's clients.
        default_ack_deadline: seconds.
        default_retry_policy: for subscriptions that state none; ``None`` sends none.
        resilient: whether it reconnects soon after an outage, and logs outages, as for the workers
            of ``create_and_run``.
        times: by which it decides that Pub/Sub is unavailable.
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
        times: Times | None = None,
    ) -> None:
        self._connect(
            Connection(
                gc_project_id,
                credentials,
                client_options,
                storage_regions(message_storage_policy),
                default_ack_deadline,
                default_retry_policy,
            ),
            resilient,
            times,
        )

    @classmethod
    def over(
        cls, connection: Connection, *, resilient: bool = False, times: Times | None = None
    ) -> Subscriber:
        """A Subscriber over ``connection``, which names all that the constructor's arguments do."""
        subscriber = cls.__new__(cls)
        subscriber._connect(connection, resilient, times)
        return subscriber

    def _connect(self, connection: Connection, resilient: bool, times: Times | None) -> None:
        self.connection = replace(
            connection,
            credentials=_unless_emulated(connection.credentials),
            ack_deadline=connection.ack_deadline or DEFAULT_ACK_DEADLINE,
        )
        self._times = times or Times()
        self._client: Any = self.connection.make_client(
            pubsub_v1.SubscriberClient,
            **({"transport": transport_class(self._times)} if resilient else {}),
        )
        self._channel_watch = harden(self._client) if resilient else None
        self._topic_watches: list[TopicWatch] = []

    @property
    def credentials(self) -> Any:
        """Google credentials, ``None`` under the emulator."""
        return self.connection.credentials

    def update_or_create_subscription(self, subscription: Subscription) -> None:
        """Create ``subscription`` and, where it is missing, its topic.

        One that exists is updated: its retry policy, if the declaration or the default states one,
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
            "retry_policy": subscription.retry_policy or self.connection.retry_policy,
            "ack_deadline": self.connection.ack_deadline,
        }
        request = {
            "name": self._client.subscription_path(
                self.connection.gc_project_id, subscription.name
            ),
            "topic": self._client.topic_path(self.connection.gc_project_id, subscription.topic),
            **google_fields({option: value for option, value in options.items() if value}),
        }
        update_or_create(self._client, self.connection, request)

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
        path = self._client.subscription_path(self.connection.gc_project_id, subscription_name)
        more = {} if flow_control is None else {"flow_control": flow_control}
        if self._channel_watch is not None:
            self._channel_watch.start()
        return self._client.subscribe(path, callback=callback, scheduler=scheduler, **more)

    def resources(self, gc_project_id: str, defaults: SubscriptionOptions) -> Resources:
        """Compares and changes topics and subscriptions through this Subscriber's connection.

        ``defaults`` are stated for all subscriptions. One that is created gets the Subscriber's ack
        deadline and Relé's default retry policy where nothing else is stated.
        """
        return self._make_resources(gc_project_id, defaults, DEFAULT_RETRY_POLICY)

    @property
    def is_unavailable(self) -> bool:
        """Whether Pub/Sub is known to be unavailable now; only a resilient one knows."""
        return self._channel_watch is not None and self._channel_watch.is_unavailable

    def watch_topics(self, subscriptions: Sequence[Subscription], makes_again: bool) -> TopicWatch:
        """Logs, once started, that a topic was deleted.

        ``makes_again``: whether the worker recreates it once its subscription is deleted.
        """
        watch = TopicWatch(
            self._client,
            self.connection.gc_project_id,
            subscriptions,
            makes_again,
            times=self._times,
        )
        self._topic_watches.append(watch)
        return watch

    def close(self) -> None:
        """Close the connection and end what watches it; the Subscriber cannot be used any more."""
        for watch in self._topic_watches:
            watch.stop()
        if self._channel_watch is not None:
            self._channel_watch.close()
        self._client.close()

    def _own_resources(self) -> Resources:
        """With what the Subscriber was made with: no retry policy where none is stated."""
        stated = SubscriptionOptions(retry_policy=self.connection.retry_policy)
        return self._make_resources(str(self.connection.gc_project_id), stated, None)

    def _make_resources(
        self,
        gc_project_id: str,
        defaults: SubscriptionOptions,
        retry_policy_of_new: RetryPolicy | None,
    ) -> Resources:
        return Resources(
            replace(self.connection, gc_project_id=gc_project_id),
            self._client,
            defaults=defaults,
            for_new=SubscriptionOptions(
                ack_deadline=self.connection.ack_deadline, retry_policy=retry_policy_of_new
            ),
        )
