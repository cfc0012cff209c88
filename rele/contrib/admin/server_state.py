"""What Pub/Sub has of what the project declares, asked for at most once a minute."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.exceptions import ReleError
from rele.runtime.slow_question import SlowQuestion

if TYPE_CHECKING:
    from rele.project.comparison import Comparison
    from rele.resources import Change

logger = logging.getLogger(__name__)

FRESH = 60.0
"""Seconds for which an answer is shown before Pub/Sub is asked again."""

PATIENCE = 1.5
"""Seconds for which a page waits for the answer; a later one shows it."""


@dataclass(frozen=True)
class ServerState:
    """What was found out."""

    asked_at: float
    """In seconds of the clock."""
    changes: tuple[Change, ...] = ()
    """What Pub/Sub needs to match what is declared."""
    orphans: tuple[str, ...] = ()
    """Paths of subscriptions with the project's prefix that no code declares."""
    complaints: tuple[str, ...] = ()
    """What could not be found out, and why."""

    def changes_for(self, subscription: Subscription) -> list[Change]:
        """Those that concern the subscription, its topic or its dead letters."""
        own = [
            each for each in self.changes if _id_of(each.path, "subscriptions") == subscription.name
        ]
        needed = {path for each in own for path in each.needs}
        return [
            each
            for each in self.changes
            if each in own
            or each.path in needed
            or _id_of(each.path, "topics") == subscription.topic
        ]


class ServerWatch:
    """Asks Pub/Sub while somebody looks, so that a page never waits for long.

    Args:
        compare: :func:`rele.project.comparison.compare`.
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self,
        compare: Callable[[Config, Sequence[Subscription]], Comparison] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compare = compare or _compare
        self._clock = clock
        self._declared: tuple[Config, Sequence[Subscription]] | None = None
        self._question = SlowQuestion("server's state", self._ask, FRESH, math.inf, clock)

    def latest(
        self, config: Config, subscriptions: Sequence[Subscription], patience: float
    ) -> ServerState | None:
        """What is known; ``None`` while the first answer is awaited.

        Args:
            config: the project's configuration.
            subscriptions: what is declared.
            patience: for how many seconds to wait where what is known is old.
        """
        self._declared = config, subscriptions
        return self._question.look(patience)

    def _ask(self) -> ServerState:
        assert self._declared is not None
        asked_at = self._clock()
        try:
            found = self._compare(*self._declared)
        except ReleError as error:
            return ServerState(asked_at, complaints=(str(error),))
        except Exception as error:
            logger.exception("What Pub/Sub has could not be compared with what is declared.")
            return ServerState(asked_at, complaints=(f"{type(error).__name__}: {error}",))
        plan = found.plan
        return ServerState(
            asked_at,
            plan.changes,
            tuple(found.orphans),
            (*map(str, plan.refusals), *plan.warnings, *filter(None, [found.complaint])),
        )


def _compare(config: Config, subscriptions: Sequence[Subscription]) -> Comparison:
    from rele.project.comparison import compare  # here, since it loads Google's client

    return compare(config, subscriptions)


def _id_of(path: str, collection: str) -> str | None:
    """The id in the path of a subscription or a topic, if it is one of these."""
    _, _, rest = path.partition(f"/{collection}/")
    return rest or None


WATCH = ServerWatch()
"""Of this web process."""
