"""Moving a subscription to another point in time, and keeping the point where it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.api_core import exceptions

from rele.resources.parallel_calls import (
    CREATE_SNAPSHOT,
    DELETE_SNAPSHOT,
    READ_SNAPSHOT,
    SEEK,
    explained,
)


class Position:
    """Which messages of a subscription count as acknowledged.

    Each method raises ResourceError if Pub/Sub refuses or does not answer.

    Args:
        subscriber: Google's subscriber client.
        path: of the subscription.
    """

    def __init__(self, subscriber: Any, path: str) -> None:
        self._subscriber = subscriber
        self._path = path

    def seek_to_time(self, time: datetime) -> None:
        """Acknowledge what was published before ``time``, and deliver what was published since."""
        with explained(SEEK, self._path):
            self._subscriber.seek(request={"subscription": self._path, "time": time})

    def seek_to_snapshot(self, snapshot: str) -> None:
        """Take back what was acknowledged since ``snapshot``, a full path, was made."""
        with explained(SEEK, self._path):
            self._subscriber.seek(request={"subscription": self._path, "snapshot": snapshot})

    def create_snapshot(self, path: str) -> Any:
        """Keep which messages are acknowledged now, and return Google's Snapshot."""
        with explained(CREATE_SNAPSHOT, path):
            return self._subscriber.create_snapshot(
                request={"name": path, "subscription": self._path}
            )

    def snapshot(self, path: str) -> Any:
        """Google's Snapshot, or ``None`` if it does not exist."""
        try:
            with explained(READ_SNAPSHOT, path, exceptions.NotFound):
                return self._subscriber.get_snapshot(request={"snapshot": path})
        except exceptions.NotFound:
            return None

    def delete_snapshot(self, path: str) -> None:
        """Delete a snapshot, given by its full path."""
        with explained(DELETE_SNAPSHOT, path):
            self._subscriber.delete_snapshot(request={"snapshot": path})
