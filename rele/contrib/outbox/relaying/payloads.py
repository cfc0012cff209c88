"""A message with its payload, as long as a relay sends it."""

from __future__ import annotations

from collections.abc import Mapping

from rele.contrib.outbox.models import CAUSED_BY_RECORD


class Payload:
    """What of a row is sent. Making a model's instance takes several times as long."""

    __slots__ = ("attempts", "attributes", "data", "event_id", "id", "ordering_key", "topic")

    def __init__(
        self,
        id_: int,
        topic: str,
        data: bytes | memoryview,
        attributes: Mapping[str, str],
        ordering_key: str,
        event_id: str,
        attempts: int = 0,
    ) -> None:
        self.id = id_
        self.topic = topic
        self.data = data
        self.attributes = attributes
        self.ordering_key = ordering_key
        self.event_id = event_id
        self.attempts = attempts

    def __str__(self) -> str:
        return f"{self.topic} {self.event_id}"

    @property
    def is_caused_by_record(self) -> bool:
        """Whether nothing is logged about its publish: see :mod:`rele.runtime.own_records`."""
        return CAUSED_BY_RECORD in self.attributes

    @property
    def sent_attributes(self) -> dict[str, str]:
        """The attributes with which the message is sent."""
        if CAUSED_BY_RECORD not in self.attributes:
            return dict(self.attributes)
        return {key: text for key, text in self.attributes.items() if key != CAUSED_BY_RECORD}
