"""What of the dead letters is published together, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rele.deadletters.letter import Letter, in_order
from rele.messages.limits import request_size

MOST_MESSAGES = 100
"""In a request. After a ``kill -9``, those of the requests under way may be published again."""

MOST_BYTES = 4_000_000
"""Of the messages of a request with more than one."""


@dataclass(frozen=True)
class Batch:
    """The letters of one request."""

    topic: str
    """The full path."""
    letters: tuple[Letter, ...]

    def messages(self) -> list[dict[str, Any]]:
        """The fields of Google's PubsubMessage of each, as it was published first."""
        return [
            {
                "data": each.data,
                "attributes": each.original_attributes,
                "ordering_key": each.ordering_key,
            }
            for each in self.letters
        ]

    def each_alone(self) -> list[Batch]:
        """A batch for each letter."""
        return [Batch(self.topic, (letter,)) for letter in self.letters]


def lanes(letters: Iterable[Letter], topic_of: Callable[[Letter], str]) -> list[list[Batch]]:
    """Batches that may be sent at the same time; those of one list follow each other.

    Args:
        letters: what is to be published.
        topic_of: the full path of the topic that a letter goes to.
    """
    by_lane: defaultdict[tuple[str, str], list[Letter]] = defaultdict(list)
    for letter in in_order(letters):
        by_lane[topic_of(letter), letter.ordering_key].append(letter)
    result: list[list[Batch]] = []
    for (topic, ordering_key), of_lane in by_lane.items():
        batches = [Batch(topic, each) for each in _parts(topic, of_lane)]
        result += [batches] if ordering_key else [[batch] for batch in batches]
    return result


def _parts(topic: str, letters: Iterable[Letter]) -> Iterator[tuple[Letter, ...]]:
    part: list[Letter] = []
    size = 0
    for letter in letters:
        more = request_size(topic, letter.data, letter.attributes, letter.ordering_key)
        if part and (len(part) == MOST_MESSAGES or size + more > MOST_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(letter)
        size += more
    if part:
        yield tuple(part)
