"""A dead letter, and what its attributes say about it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from rele.messages import dead_letter_attributes as names

_CHANGING = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|0x[0-9a-fA-F]+|\d+")
"""What differs between two errors of one kind: numbers, addresses, UUIDs."""


@dataclass(frozen=True)
class Letter:
    """A message that waits in the subscription of a dead-letter topic."""

    message_id: str
    """Of the dead letter; that of the message that failed is not known."""
    data: bytes = field(repr=False)
    attributes: Mapping[str, str]
    """All of them, also those that a dead letter has in addition."""
    ordering_key: str
    dead_since: datetime
    """When it was published to the dead-letter topic."""

    @classmethod
    def of(cls, message: Any) -> Letter:
        """The letter that Google's PubsubMessage ``message`` is."""
        return cls(
            message.message_id,
            message.data,
            dict(message.attributes),
            message.ordering_key,
            message.publish_time,
        )

    @property
    def source(self) -> str | None:
        """The full path of the subscription that it comes from; ``None`` if it does not say."""
        project, name = (self.attributes.get(each) for each in (names.PROJECT, names.SUBSCRIPTION))
        return f"projects/{project}/subscriptions/{name}" if project and name else None

    @property
    def attempts(self) -> int | None:
        """How often it was delivered; ``None`` if it does not say."""
        text = self.attributes.get(names.DELIVERY_COUNT, "")
        return int(text) if text.isdecimal() else None

    @property
    def published(self) -> datetime:
        """When it was published first; if it does not say, when it was to the dead-letter topic."""
        text = self.attributes.get(names.PUBLISH_TIME, "")
        try:
            time = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return self.dead_since
        return time if time.tzinfo else time.replace(tzinfo=timezone.utc)

    @property
    def error_type(self) -> str | None:
        """The class of what the handler raised, where Relé has published the letter."""
        return self.attributes.get(names.ERROR_TYPE)

    @property
    def error(self) -> str | None:
        """The first line of what the handler raised, where Relé has published the letter."""
        return self.attributes.get(names.ERROR)

    @property
    def handler(self) -> str | None:
        """The dotted path of the handler, where Relé has published the letter."""
        return self.attributes.get(names.HANDLER)

    @property
    def error_text(self) -> str:
        """What the handler raised, in one line; empty if it is not known."""
        return ": ".join(filter(None, (self.error_type, self.error)))

    @property
    def error_or_reason(self) -> str:
        """The error in one line, or why it is not known."""
        return self.error_text or ("not known: moved by Pub/Sub" if self.source else "not known")

    @property
    def original_attributes(self) -> dict[str, str]:
        """The attributes with which it was published first."""
        return names.without_letter_attributes(self.attributes)

    @property
    def fault(self) -> tuple[str, str, str]:
        """What it has in common with the letters of one fault."""
        error = _CHANGING.sub("#", self.error or "")
        return self.error_type or "", error, self.handler or ""


@dataclass(frozen=True)
class Group:
    """The letters of one fault."""

    letters: tuple[Letter, ...]
    """The oldest first."""

    @property
    def oldest(self) -> Letter:
        return self.letters[0]


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """The letters by error and handler, the largest group first."""
    by_fault: defaultdict[tuple[str, str, str], list[Letter]] = defaultdict(list)
    for letter in letters:
        by_fault[letter.fault].append(letter)
    groups = [Group(tuple(in_order(each))) for each in by_fault.values()]
    return sorted(groups, key=lambda group: (-len(group.letters), group.oldest.dead_since))


def in_order(letters: Iterable[Letter]) -> list[Letter]:
    """The letters in the order in which they were published first."""
    return sorted(letters, key=lambda each: (each.published, each.dead_since, each.message_id))
