"""A published message as the server keeps it."""


class StoredMessage:
    """One message, shared by all subscriptions that have to deliver it, and never changed.

    (Not ``frozen``, which would make its creation several times slower.)

    ``encoded`` is the serialised ``PubsubMessage`` with its id and publish time: the form in
    which it is delivered. It is empty while the message is only on disk: then the ledger that the
    message is in reads it back. ``size`` is its length, which counts for flow control.
    ``publish_time`` is in microseconds since the epoch. All but ``encoded`` stay as they are.
    """

    __slots__ = ("encoded", "id", "ordering_key", "publish_time", "size")

    def __init__(
        self,
        id: int,  # noqa: A002 - the attribute's name
        publish_time: int,
        encoded: bytes,
        ordering_key: str = "",
        size: int | None = None,
    ) -> None:
        self.id = id
        self.publish_time = publish_time
        self.encoded = encoded
        self.ordering_key = ordering_key
        self.size = len(encoded) if size is None else size

    def __repr__(self) -> str:
        return f"StoredMessage({self.id}, {self.size} bytes)"
