"""The account and the options with which Pub/Sub is used, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rele.endpoint import pubsub_address
from rele.retry_policy import RetryPolicy


@dataclass(frozen=True)
class Connection:
    """The options of the clients of one project, and of the resources that they create.

    A publisher reads the first three fields; the other fields are for new topics and subscriptions.
    """

    gc_project_id: str | None
    credentials: Any = None
    """Google credentials; ``None`` under the emulator, or for Google's default ones."""
    client_options: Any = None
    """Options of Google's clients: a dict, or Google's ClientOptions."""
    regions: Sequence[str] | None = None
    """The regions where new topics store their messages; ``None`` for any region."""
    ack_deadline: int | None = None
    """The ack deadline in seconds of new subscriptions that state none."""
    retry_policy: RetryPolicy | None = None
    """The retry policy of subscriptions that state none."""

    @property
    def address(self) -> str:
        """The ``host:port`` that the clients connect to."""
        return pubsub_address(self.client_options)

    def make_client(self, client_class: Any, **options: Any) -> Any:
        """Make a client of Google's, such as ``pubsub_v1.PublisherClient``.

        Args:
            client_class: the client's class.
            options: further arguments of its constructor.

        Raises:
            NoCredentialsError: no credentials are given, and Google's libraries find none.
        """
        # Imported here because a program may need a configuration, but no client.
        from rele.engine.google.clients import make_client

        return make_client(
            client_class,
            credentials=self.credentials,
            client_options=self.client_options,
            **options,
        )
