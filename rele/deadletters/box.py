"""The dead letters of a subscription, leased while they are looked at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from rele.config import Config
from rele.deadletters.choice import Choice
from rele.deadletters.finding import DeadLettersError, Place, find_place
from rele.deadletters.letter import Letter, in_order
from rele.exceptions import ResourceError
from rele.project.naming import subscription_path

logger = logging.getLogger(__name__)

LEASE = 60
"""Seconds: after a ``kill -9``, the letters are delivered again so much later, at most."""

_EXTEND_EVERY = LEASE / 3

QUIET = 3.0
"""Seconds without a further letter after which all are taken to be known."""

MOST = 10_000
"""Letters that are held at a time."""

MOST_BYTES = 256 * 2**20
"""Of their payloads."""

_IN_A_PULL = 1000

Report = Callable[[int], object]


class Waiting(Protocol):
    """What waits in a subscription: :class:`rele.resources.waiting_messages.WaitingMessages`."""

    def pull(self, most: int, seconds: float) -> Sequence[Any]: ...
    def require_answer(self) -> None: ...
    def ack(self, ack_ids: Sequence[str]) -> None: ...
    def lease(self, ack_ids: Sequence[str], seconds: int) -> None: ...


@dataclass(frozen=True)
class Collected:
    """What was found in a box."""

    letters: tuple[Letter, ...]
    """Those that are meant, in the order in which they were published first."""
    has_more: bool
    """Whether there may be more of them."""
    without_error: int = 0
    """Letters of the subscription that are not meant, and whose error is not known."""


class Box:
    """Dead letters that nobody else gets until the box is closed; then what is left is nacked.

    Args:
        place: where they wait.
        waiting: what waits there.
        quiet: seconds without a further letter after which all are taken to be known.
        extend_every: seconds between two extensions of the leases.
    """

    def __init__(
        self,
        place: Place,
        waiting: Waiting,
        *,
        quiet: float = QUIET,
        extend_every: float = _EXTEND_EVERY,
    ) -> None:
        self.place = place
        self._waiting = waiting
        self._quiet = quiet
        self._extend_every = extend_every
        self._ack_ids: dict[str, str] = {}
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="rele-letters", daemon=True)

    def collect(
        self,
        choice: Choice = Choice(),  # noqa: B008 - it is frozen
        *,
        most: int = MOST,
        keeps_data: bool = True,
        dead_until: datetime | None = None,
        report: Report = lambda number: None,
    ) -> Collected:
        """Lease letters until all are known or ``most`` of those that are meant are held.

        Args:
            choice: which are meant. The others are leased as well, or they would be pulled again
                and again.
            most: how many are meant, at most.
            keeps_data: whether to keep their payloads.
            dead_until: only those that were dead-lettered by then are meant.
            report: called with how many were looked at, from time to time.

        Raises:
            ResourceError: Pub/Sub refuses or does not answer.
        """
        found: dict[str, Letter] = {}
        without_error: set[str] = set()
        size = 0
        received: Sequence[Any] = ()
        while len(found) < most and size < MOST_BYTES:
            received = self._pull(min(_IN_A_PULL, most - len(found)))
            if not received:
                self._waiting.require_answer()
                break
            for letter in map(Letter.of, (each.message for each in received)):
                if self._is_meant(letter, choice, dead_until):
                    found[letter.message_id] = letter if keeps_data else replace(letter, data=b"")
                    size += len(letter.data) if keeps_data else 0
                elif letter.error_type is None and self._is_of_source(letter):
                    without_error.add(letter.message_id)
            report(len(self._ack_ids))
        letters = tuple(in_order(found.values()))
        return Collected(letters, has_more=bool(received), without_error=len(without_error))

    def ack(self, letters: Iterable[Letter]) -> None:
        """Acknowledge ``letters``, so that they are dead letters no more.

        Raises:
            ResourceError: it is not certain that all are acknowledged.
        """
        ids = [each.message_id for each in letters]
        with self._lock:
            ack_ids = [self._ack_ids[each] for each in ids if each in self._ack_ids]
        self._waiting.ack(ack_ids)
        with self._lock:
            for each in ids:
                self._ack_ids.pop(each, None)

    def close(self) -> None:
        """Nack the letters that are left, so that the next who looks gets them at once."""
        self._is_closed.set()
        if self._keeper.is_alive():
            self._keeper.join()
        with self._lock:
            left = list(self._ack_ids.values())
            self._ack_ids.clear()
        try:
            self._waiting.lease(left, 0)
        except ResourceError as error:
            logger.warning("The dead letters are available again after %d s: %s", LEASE, error)

    def _pull(self, most: int) -> Sequence[Any]:
        received = self._waiting.pull(most, self._quiet)
        ack_ids = {each.message.message_id: each.ack_id for each in received}
        with self._lock:
            self._ack_ids.update(ack_ids)
        if ack_ids:
            self._waiting.lease(list(ack_ids.values()), LEASE)
            if self._keeper.ident is None:
                self._keeper.start()
        return received

    def _is_meant(self, letter: Letter, choice: Choice, dead_until: datetime | None) -> bool:
        if not self._is_of_source(letter):
            return False
        if dead_until is not None and letter.dead_since > dead_until:
            return False
        return choice.includes(letter, datetime.now(timezone.utc))

    def _is_of_source(self, letter: Letter) -> bool:
        """Whether it is one of the subscription: several may share a dead-letter topic."""
        source = self.place.source
        return source is None or letter.source in (source, None)

    def _keep(self) -> None:
        """Extend the leases until the box is closed."""
        while not self._is_closed.wait(self._extend_every):
            with self._lock:
                ack_ids = list(self._ack_ids.values())
            try:
                self._waiting.lease(ack_ids, LEASE)
            except ResourceError as error:
                logger.warning("The leases of the dead letters were not extended: %s", error)


@dataclass(frozen=True)
class Opened:
    """A box, and what else is needed to work with it."""

    box: Box
    access: Any
    """A :class:`rele.resources.access.Access`."""


@contextmanager
def opened(
    config: Config,
    name: str,
    *,
    pulled_from: str | None = None,
    quiet: float = QUIET,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Opened]:
    """Open the box with the dead letters of a subscription; it is closed after the block.

    If the dead-letter topic has no subscription, one is created, where ``RELE["RESOURCES"]`` allows
    it.

    Args:
        config: the project's configuration.
        name: of the subscription, or its full path; or of the subscription of a dead-letter topic.
        pulled_from: the subscription to pull from, where the dead-letter topic has several.
        quiet: as for :class:`Box`.
        say: takes a line for people.

    Raises:
        DeadLettersError: there is no such subscription, or it has no dead letters.
        ResourceError, ConfigurationError, NotConnectionError: Pub/Sub cannot be used.
    """
    from rele.project.access import access_to  # here, since it loads Google's client

    with access_to(config) as access:
        project = str(config.gc_project_id)
        path = subscription_path(name, project)
        source = None if pulled_from is None else subscription_path(pulled_from, project)
        place = find_place(access.service, path, source)
        if place.subscription is None:
            place = replace(place, subscription=_created(config, access, place.topic, say))
        if place.counts_attempts:
            say(
                f"{place.subscription} has a dead-letter policy of its own: each look counts as a "
                "delivery attempt of the letters that stay there."
            )
        box = Box(place, access.waiting(str(place.subscription)), quiet=quiet)
        try:
            yield Opened(box, access)
        finally:
            box.close()


def _created(config: Config, access: Any, topic: str, say: Callable[[str], object]) -> str:
    lost = f"The dead-letter topic {topic} has no subscription: what it got so far is lost."
    if config.resources not in ("apply", "create"):
        raise DeadLettersError(
            f"{lost} Create one; RELE['RESOURCES'] = {config.resources!r} does not let Relé do it."
        )
    path: str = access.create_dead_letter_subscription(topic)
    say(f"{lost} Created {path}, which keeps what comes from now on.")
    return path
