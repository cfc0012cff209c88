"""The steps from what the server has to what is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rele.exceptions import ResourceError

CREATE_TOPIC = "create topic"
CREATE_SUBSCRIPTION = "create subscription"
UPDATE_SUBSCRIPTION = "update subscription"
CANNOT_CHANGE = "cannot change subscription"


@dataclass(frozen=True)
class Difference:
    """That an option is not as it is declared."""

    option: str
    """Its name in ``@sub``."""
    actual: str
    declared: str

    def __str__(self) -> str:
        return f"{self.option} {self.actual} → {self.declared}"


@dataclass(frozen=True, eq=False)
class Change:
    """One step, or an obstacle: what cannot be changed."""

    action: str
    path: str
    """The full path of the topic or subscription."""
    differences: tuple[Difference, ...] = ()
    advice: str = ""
    """What is left for somebody to do."""
    needs: frozenset[str] = frozenset()
    """The paths that have to be there before."""
    carry_out: Callable[[], object] | None = None

    @property
    def summary(self) -> str:
        """All but the advice."""
        text = f"{self.action} {self.path}"
        if self.differences:
            text += f": {', '.join(map(str, self.differences))}"
        return text

    def __str__(self) -> str:
        return f"{self.summary}. {self.advice}" if self.advice else self.summary

    def as_json(self) -> dict[str, Any]:
        """What can be told of it in JSON."""
        return {
            "action": self.action,
            "resource": self.path,
            "differences": [vars(difference) for difference in self.differences],
            "advice": self.advice or None,
        }


@dataclass(frozen=True)
class Plan:
    """All steps, in the order in which they can be told, and what could not be looked at."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[ResourceError, ...] = ()

    def only(self, *actions: str) -> Plan:
        """The steps of these kinds."""
        return replace(self, changes=tuple(c for c in self.changes if c.action in actions))

    @property
    def obstacles(self) -> tuple[Change, ...]:
        """What is not as declared and cannot be changed."""
        return self.only(CANNOT_CHANGE).changes

    def raise_refusals(self, more: Iterable[ResourceError] = ()) -> None:
        """Raise what could not be looked at, and ``more``, as one.

        Raises:
            ResourceError: with a line for each, if there is any.
        """
        refusals = [*self.refusals, *more]
        if refusals:
            raise ResourceError("\n".join(map(str, refusals))) from refusals[0].__cause__
