"""With which account and which options Pub/Sub is used, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rele.endpoint import pubsub_address
from rele.retry_policy import RetryPolicy


@dataclass(frozen=True)
class Connection:
    """What the clients of one project are made with, and what is made through them.

    A publisher reads the first three fields; who makes topics and subscriptions, all.
    """

    gc_project_id: str | None
    credentials: Any = None
    """Google credentials; ``None`` under the emulator, or for Google's default ones."""
    client_options: Any = None
    """For Google's clients: a dict, or their own ClientOptions."""
    regions: Sequence[str] | None = None
    """Where the messages of topics that are made are stored; ``None`` sets no limit."""
    ack_deadline: int | None = None
    """Seconds, of subscriptions that are made and state none."""
    retry_policy: RetryPolicy | None = None
    """Of subscriptions that state none."""

    @property
    def address(self) -> str:
        """The ``host:port`` that the clients dial."""
        return pubsub_address(self.client_options)

    def make_client(self, client_class: Any, **options: Any) -> Any:
        """Make a client of Google's, such as ``pubsub_v1.PublisherClient``.

        Args:
            client_class: the client's class.
            options: further arguments of its constructor.

        Raises:
            NoCredentialsError: no credentials are given, and Google finds none.
        """
        # Here, since a configuration has a connection and is read where no client is needed.
        from rele.engine.google.clients import make_client

        return make_client(
            client_class,
            credentials=self.credentials,
            client_options=self.client_options,
            **options,
        )
