"""Publisher and Subscriber, which wrap Google's two clients."""

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
    """Return ``credentials``, or ``None`` under an emulator.

    ``USE_EMULATOR`` is checked as well, because the tests of projects patch it.
    """
    return None if USE_EMULATOR or uses_emulator() else credentials


def get_google_defaults() -> tuple[Any, str | None]:
    """Return Application Default Credentials and their project, or ``(None, None)``.

    This may connect to Google's metadata server, so it is called only if nothing else is given.
    """
    try:
        credentials, project_id = google.auth.default()
    except DefaultCredentialsError:
        return None, None
    return credentials, project_id


class Publisher(BackendPublisher):
    """Publishes through Google's client, with the hooks of the middleware.

    Use one Publisher per process, as :func:`rele.publish` does: each has a client of its own.

    Args:
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        encoder: a JSONEncoder class.
        timeout: seconds that a blocking publish waits.
        client_options: options of Google's client.
        blocking: the default of ``publish(blocking=…)``.
        backend: sends the messages instead of Google's client.
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
        message_storage_policy: the regions where new topics store their messages, or ``None``; a
            single region as a string is deprecated.
        client_options: options of Google's clients.
        default_ack_deadline: the ack deadline in seconds of new subscriptions.
        default_retry_policy: the retry policy of subscriptions that state none; with ``None`` they
            have none.
        resilient: whether it reconnects soon after an outage, and logs outages, as the workers of
            ``create_and_run`` do.
        times: the durations that it uses; tests shorten them.
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
        """Make a Subscriber from ``connection`` instead of the constructor's arguments."""
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
        """Create ``subscription`` and, if it is missing, its topic.

        If the subscription exists, it is updated: its retry policy, if the declaration or the
        default states one, and all other options that the declaration states.

        Raises:
            ResourceError: Pub/Sub refused a declaration with options beyond those of Relé 1.x: the
                topic, a filter and a retry policy.
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused any other declaration.
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
            subscription_name: the subscription's id, without the project.
            callback: called with each message.
            scheduler: runs the callbacks in its threads.
            flow_control: Google's FlowControl; by default that of Google's client.

        Returns:
            Google's StreamingPullFuture, which is done when the stream has ended.
        """
        path = self._client.subscription_path(self.connection.gc_project_id, subscription_name)
        more = {} if flow_control is None else {"flow_control": flow_control}
        if self._channel_watch is not None:
            self._channel_watch.start()
        return self._client.subscribe(path, callback=callback, scheduler=scheduler, **more)

    def resources(self, gc_project_id: str, defaults: SubscriptionOptions) -> Resources:
        """Return an object that compares and changes topics and subscriptions.

        ``defaults`` are options for all subscriptions. A new subscription gets the Subscriber's ack
        deadline and Relé's default retry policy, unless something else is stated.
        """
        return self._make_resources(gc_project_id, defaults, DEFAULT_RETRY_POLICY)

    @property
    def is_unavailable(self) -> bool:
        """Whether Pub/Sub is known to be unavailable; always False if not ``resilient``."""
        return self._channel_watch is not None and self._channel_watch.is_unavailable

    @property
    def unavailable_for(self) -> float:
        """For how many seconds Pub/Sub has been unavailable; 0 if it is not known to be."""
        return 0.0 if self._channel_watch is None else self._channel_watch.seconds

    def watch_topics(self, subscriptions: Sequence[Subscription], recreates: bool) -> TopicWatch:
        """Return a watch that logs when a topic was deleted.

        ``recreates``: whether the worker recreates the topic after its subscription is deleted.
        """
        watch = TopicWatch(
            self._client,
            self.connection.gc_project_id,
            subscriptions,
            recreates,
            times=self._times,
        )
        self._topic_watches.append(watch)
        return watch

    def close(self) -> None:
        """Close the connection and stop watching it; the Subscriber cannot be used any more."""
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
