"""The backend that sends messages through Google's publisher client."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

from rele.backends import Accepted, BaseBackend, Message, Refused
from rele.engine.connection import Connection
from rele.engine.google.attributes import as_arguments
from rele.engine.google.batches import (
    close_connection,
    commit_in_this_thread,
    commit_open_batches,
    explain_failures,
    let_process_fork,
    stop_using_threads,
)
from rele.engine.google.clients import no_project
from rele.engine.google.ordering import OutsideOfLocks
from rele.engine.google.refusals import explain


class PubSubSettings(Protocol):
    """The part of a configuration that the backend reads."""

    @property
    def gc_project_id(self) -> str | None: ...
    @property
    def credentials(self) -> Any: ...
    @property
    def client_options(self) -> Any: ...


class PubSubBackend(BaseBackend):
    """Owns Google's client, which batches messages and retries by itself.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
    """

    def __init__(self, config: PubSubSettings) -> None:
        if config.gc_project_id is None:
            raise no_project()
        self._project_id = config.gc_project_id
        self._connection = Connection(
            config.gc_project_id, config.credentials, config.client_options
        )
        self.client: Any = self._make_client()
        self._ordered_client: Any = None
        self._ordered_client_lock = threading.Lock()
        self._told_outside = OutsideOfLocks()
        self._is_closed = False
        self._close_timeout: float | None = None

    def send(self, messages: Sequence[Message]) -> list[Accepted | Refused]:
        """Hand ``messages`` to the client.

        If a message with an ordering key has failed by then, the later messages of that key fail
        as well, because they would overtake it. The next ``send`` resumes the key.
        """
        outcomes = []
        latest: dict[tuple[str, str], Accepted | Refused] = {}
        for message in messages:
            key = (message.topic, message.ordering_key)
            outcome = self._accept(message, latest.get(key))
            if message.ordering_key:
                latest[key] = outcome
            outcomes.append(outcome)
        if self._is_closed:
            self.close(self._close_timeout)
        return outcomes

    def flush(self, timeout: float | None = None) -> None:
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
    def address(self) -> str:  # type: ignore[override]
        return self._connection.address

    def _make_client(self, **options: Any) -> Any:
        client = self._connection.make_client(pubsub_v1.PublisherClient, **options)
        let_process_fork(client)
        explain_failures(client, self._explain)
        return client

    def _explain(self, error: Exception, topic_path: str) -> Exception:
        return explain(error, topic_path, self.address)

    def release(self) -> None:
        """Close the connections."""
        for client in self._clients():
            close_connection(client)

    def _clients(self) -> list[Any]:
        return [client for client in (self.client, self._ordered_client) if client is not None]

    def _accept(self, message: Message, before: Accepted | Refused | None) -> Accepted | Refused:
        """Hand ``message`` to the client; ``before`` is the message before it with the same key."""
        if before is not None and _has_failed(before):
            return Refused(PublishToPausedOrderingKeyException(message.ordering_key))
        try:
            return Accepted(self._publish(message, may_resume=before is None))
        except Exception as error:  # noqa: BLE001 - send() raises no error of a message
            return Refused(error)

    def _publish(self, message: Message, *, may_resume: bool) -> Future[str]:
        topic_path = self.client.topic_path(self._project_id, message.topic)
        if not message.ordering_key:
            future: Future[str] = self.client.publish(
                topic_path, message.data, **as_arguments(self.client, message.attributes)
            )
            return future
        return self._publish_ordered(topic_path, message, may_resume)

    def _publish_ordered(self, topic_path: str, message: Message, may_resume: bool) -> Future[str]:
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


def _has_failed(outcome: Accepted | Refused) -> bool:
    if isinstance(outcome, Refused):
        return True
    return outcome.future.done() and outcome.future.exception() is not None


def _is_refused_by_pause(future: Future[str]) -> bool:
    return future.done() and isinstance(future.exception(), PublishToPausedOrderingKeyException)
