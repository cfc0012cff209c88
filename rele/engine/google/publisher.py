"""The publisher on Google's client, as a backend uses it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

from rele.engine.base import PublishedMessage
from rele.engine.connection import Connection
from rele.engine.google.attributes import as_arguments
from rele.engine.google.batches import (
    close_connection,
    commit_in_this_thread,
    commit_open_batches,
    explain_failures,
    is_google_client,
    let_process_fork,
    stop_using_threads,
    wrap_requests,
)
from rele.engine.google.observing import observe_publishing
from rele.engine.google.ordering import OutsideOfLocks
from rele.engine.refusals import explain


class GooglePublisher:
    """Owns Google's client, which batches messages and retries by itself.

    Args:
        connection: where Pub/Sub is, and with which credentials.

    Raises:
        NoCredentialsError: no credentials are given, and Google's libraries find none.
    """

    def __init__(self, connection: Connection) -> None:
        self._project_id = connection.gc_project_id
        self._connection = connection
        self.client: Any = self._make_client()
        self._ordered_client: Any = None
        self._ordered_client_lock = threading.Lock()
        self._told_outside = OutsideOfLocks()
        self._is_closed = False
        self._close_timeout: float | None = None

    def send(self, messages: Sequence[PublishedMessage]) -> list[Future[str] | Exception]:
        """Hand ``messages`` to the client; return the future of each, or why it was not taken.

        If a message with an ordering key has failed by then, the later messages of that key fail
        as well, because they would overtake it. The next ``send`` resumes the key.
        """
        outcomes = []
        latest: dict[tuple[str, str], Future[str] | Exception] = {}
        for message in messages:
            key = (message.topic, message.ordering_key)
            outcome = self._accept(message, latest.get(key))
            if message.ordering_key:
                latest[key] = outcome
            outcomes.append(outcome)
        if self._is_closed:
            self.close(self._close_timeout)
        return outcomes

    def flush(self) -> None:
        """Start to send the accepted messages; their futures are done when they are sent."""
        for client in self._clients():
            commit_open_batches(client)

    def close(self, timeout: float | None = None) -> None:
        """Send the accepted messages in the calling thread, within ``timeout`` seconds."""
        self._is_closed = True
        self._close_timeout = timeout
        for client in self._clients():
            stop_using_threads(client)
            commit_in_this_thread(client, timeout)

    @property
    def address(self) -> str:
        """The ``host:port`` that messages are sent to."""
        return self._connection.address

    def _make_client(self, **options: Any) -> Any:
        client = self._connection.make_client(pubsub_v1.PublisherClient, **options)
        let_process_fork(client)
        explain_failures(client, self._explain)
        if is_google_client(client):
            wrap_requests(client, observe_publishing)
        return client

    def _explain(self, error: Exception, topic_path: str) -> Exception:
        return explain(error, topic_path, self.address)

    def release(self) -> None:
        """Close the connections."""
        for client in self._clients():
            close_connection(client)

    def _clients(self) -> list[Any]:
        return [client for client in (self.client, self._ordered_client) if client is not None]

    def _accept(
        self, message: PublishedMessage, before: Future[str] | Exception | None
    ) -> Future[str] | Exception:
        """Hand ``message`` to the client; ``before`` is the message before it with the same key."""
        if before is not None and _has_failed(before):
            refused: Exception = PublishToPausedOrderingKeyException(message.ordering_key)
            return refused
        try:
            future: Future[str] = self._publish(message, may_resume=before is None)
        except Exception as error:  # noqa: BLE001 - send() raises no error of a message
            return error
        return future

    def _publish(self, message: PublishedMessage, *, may_resume: bool) -> Future[str]:
        topic_path = self.client.topic_path(self._project_id, message.topic)
        if not message.ordering_key:
            future: Future[str] = self.client.publish(
                topic_path, message.data, **as_arguments(self.client, message.attributes)
            )
            return future
        return self._publish_ordered(topic_path, message, may_resume)

    def _publish_ordered(
        self, topic_path: str, message: PublishedMessage, may_resume: bool
    ) -> Future[str]:
        """Send through a second client, because ordering makes the retries of a client endless.

        A failure pauses the key, and the future reports the failure. The key's next message
        resumes the key, if it ``may_resume``.
        """
        client = self._get_ordered_client()
        publish = partial(
            client.publish,
            topic_path,
            message.data,
            ordering_key=message.ordering_key,
            **as_arguments(client, message.attributes),
        )
        future = publish()
        while may_resume and _is_refused_by_pause(future):
            with suppress(RuntimeError):  # another thread has resumed it
                client.resume_publish(topic_path, message.ordering_key)
            future = publish()
        return self._told_outside.follow(future)

    def _get_ordered_client(self) -> Any:
        with self._ordered_client_lock:
            if self._ordered_client is None:
                self._ordered_client = self._make_client(
                    publisher_options=pubsub_v1.types.PublisherOptions(
                        enable_message_ordering=True
                    ),
                )
            return self._ordered_client


def _has_failed(outcome: Future[str] | Exception) -> bool:
    if isinstance(outcome, Exception):
        return True
    return outcome.done() and outcome.exception() is not None


def _is_refused_by_pause(future: Future[str]) -> bool:
    return future.done() and isinstance(future.exception(), PublishToPausedOrderingKeyException)
