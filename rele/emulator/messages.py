"""A published message as the server keeps it."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class StoredMessage:
    """One message, shared by every subscription that has yet to deliver it, and never changed.

    (Not ``frozen``, which would make it several times as slow to create.)

    ``encoded`` is the serialised ``PubsubMessage`` with its id and publish time: the form in
    which it goes out again, and its size for flow control. ``publish_time`` is in microseconds
    since the epoch.
    """

    id: int
    publish_time: int
    encoded: bytes
    ordering_key: str = ""
