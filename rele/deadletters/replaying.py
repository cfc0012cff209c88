"""Publishing dead letters to the topics that they were published to first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from rele.deadletters.batches import Batch, lanes
from rele.deadletters.letter import Letter
from rele.deadletters.outcome import Outcome
from rele.exceptions import ResourceError

_AT_A_TIME = 8
"""Requests."""

_DISCARDED_AT_A_TIME = 1000

_DELETED_TOPIC = "_deleted-topic_"


class Acker(Protocol):
    """Acknowledges letters: :class:`rele.deadletters.box.Box` is one."""

    def ack(self, letters: Iterable[Letter]) -> None: ...


class Publisher(Protocol):
    """Publishes messages: :class:`rele.resources.publishing_again.Republisher` is one."""

    def publish(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> bool: ...


class Topics:
    """The topics that letters were published to first.

    Args:
        read_subscription: returns Google's Subscription at a path, or ``None``.
        source: the full path of the subscription that a letter comes from which does not say it.
    """

    def __init__(self, read_subscription: Callable[[str], Any], source: str | None) -> None:
        self._read = read_subscription
        self._source = source
        self._by_source: dict[str, str | None] = {}

    def of(self, letter: Letter) -> str | None:
        """The full path of the letter's topic; ``None`` if it cannot be found out."""
        source = letter.source or self._source
        if source is None:
            return None
        if source not in self._by_source:
            found = self._read(source)
            topic = None if found is None or found.topic == _DELETED_TOPIC else found.topic
            self._by_source[source] = topic
        return self._by_source[source]

    def why_unknown(self, letter: Letter) -> str:
        """Why the topic of ``letter`` cannot be found out."""
        source = letter.source or self._source
        if source is None:
            return "it does not say which subscription it comes from; --here handles it"
        return f"{source} does not exist, or its topic was deleted; --here handles it"


class Replay:
    """Publishes letters, and acknowledges each only once its publish was accepted.

    Args:
        box: acknowledges them.
        publisher: publishes them.
        topics: says where to.
        is_stopped: whether no further request is to begin.
        report: called with how many letters are done, after each request.
    """

    def __init__(
        self,
        box: Acker,
        publisher: Publisher,
        topics: Topics,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        report: Callable[[int], object] = lambda number: None,
    ) -> None:
        self._box = box
        self._publisher = publisher
        self._topics = topics
        self._is_stopped = is_stopped
        self._report = report
        self._lock = threading.Lock()
        self._outcome = Outcome()

    def run(self, letters: Iterable[Letter]) -> Outcome:
        """Replay ``letters``; those of a topic and ordering key in order."""
        known, self._outcome = [], Outcome()
        for letter in letters:
            if self._topics.of(letter) is None:
                self._outcome.fail([letter], self._topics.why_unknown(letter))
            else:
                known.append(letter)
        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="rele-replay") as threads:
            for future in [
                threads.submit(self._send_lane, lane)
                for lane in lanes(known, lambda letter: str(self._topics.of(letter)))
            ]:
                future.result()
        return self._outcome

    def _send_lane(self, lane: Sequence[Batch]) -> None:
        for batch in lane:
            if self._outcome.error is not None or self._is_stopped():
                with self._lock:
                    self._outcome.left += len(batch.letters)
            else:
                self._send(batch)

    def _send(self, batch: Batch) -> None:
        try:
            is_accepted = self._publisher.publish(batch.topic, batch.messages())
        except ResourceError as error:
            with self._lock:
                self._outcome.error = error
                self._outcome.left += len(batch.letters)
            return
        if is_accepted:
            self._ack(batch.letters)
        elif len(batch.letters) > 1:
            self._send_lane(batch.each_alone())  # one of them is invalid
        else:
            with self._lock:
                self._outcome.fail(batch.letters, "Pub/Sub does not accept it as a message")

    def _ack(self, letters: Sequence[Letter]) -> None:
        try:
            self._box.ack(letters)
        except ResourceError as error:
            with self._lock:
                self._outcome.error = error
                self._outcome.unconfirmed += len(letters)
        else:
            with self._lock:
                self._outcome.done += len(letters)
            self._report(len(letters))


def discard(
    box: Acker,
    letters: Sequence[Letter],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    report: Callable[[int], object] = lambda number: None,
) -> Outcome:
    """Acknowledge ``letters``, so that they are lost."""
    outcome = Outcome()
    for start in range(0, len(letters), _DISCARDED_AT_A_TIME):
        part = letters[start : start + _DISCARDED_AT_A_TIME]
        if outcome.error is not None or is_stopped():
            outcome.left += len(part)
            continue
        try:
            box.ack(part)
        except ResourceError as error:
            outcome.error = error
            outcome.left += len(part)
        else:
            outcome.done += len(part)
            report(len(part))
    return outcome
