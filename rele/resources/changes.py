"""The changes that make Pub/Sub's resources match the declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rele.exceptions import ResourceError

CREATE_TOPIC = "create topic"
CREATE_SUBSCRIPTION = "create subscription"
UPDATE_SUBSCRIPTION = "update subscription"
CANNOT_CHANGE = "cannot change subscription"

_DONE = {
    CREATE_TOPIC: "created topic",
    CREATE_SUBSCRIPTION: "created subscription",
    UPDATE_SUBSCRIPTION: "updated subscription",
}


@dataclass(frozen=True)
class Difference:
    """An option that is not as declared."""

    option: str
    """The option's name in ``@sub``."""
    actual: str
    declared: str

    def __str__(self) -> str:
        return f"{self.option} {self.actual} → {self.declared}"


@dataclass(frozen=True, eq=False)
class Change:
    """One change, or an obstacle: a difference that no change can remove."""

    action: str
    path: str
    """The full path of the topic or subscription."""
    differences: tuple[Difference, ...] = ()
    advice: str = ""
    """What a person must do."""
    needs: frozenset[str] = frozenset()
    """The paths of topics and subscriptions that must exist before this change."""
    after: frozenset[str] = frozenset()
    """The paths of those that are made before this change, if they are made at all."""
    carry_out: Callable[[], object] | None = None
    """Makes the change; ``None`` for an obstacle."""

    @property
    def summary(self) -> str:
        """The change in words, without the advice."""
        return self._describe(self.action)

    @property
    def report(self) -> str:
        """The change in words, as done or impossible, with the advice."""
        return self._with_advice(self._describe(_DONE.get(self.action, self.action)))

    @property
    def sets_retry_policy(self) -> bool:
        """Whether an existing subscription gets another retry policy."""
        return any(difference.option == "retry_policy" for difference in self.differences)

    def __str__(self) -> str:
        return self._with_advice(self.summary)

    def _describe(self, action: str) -> str:
        text = f"{action} {self.path}"
        if self.differences:
            text += f": {', '.join(map(str, self.differences))}"
        return text

    def _with_advice(self, text: str) -> str:
        return f"{text}. {self.advice}" if self.advice else text

    def as_json(self) -> dict[str, Any]:
        """The change as values for JSON."""
        return {
            "action": self.action,
            "resource": self.path,
            "differences": [vars(difference) for difference in self.differences],
            "advice": self.advice or None,
        }


@dataclass(frozen=True)
class Plan:
    """The changes that are needed, and other findings. Making a plan changes nothing."""

    changes: tuple[Change, ...] = ()
    """In the order in which they are shown."""
    refusals: tuple[ResourceError, ...] = ()
    """Why some of the topics and subscriptions could not be read."""
    warnings: tuple[str, ...] = ()
    """Problems that a person should solve, a sentence each."""
    lacks_retry_policy: Mapping[str, bool] = field(default_factory=dict)
    """Whether a subscription lacks a retry policy, by its path, for each that could be read."""

    def only(self, *actions: str) -> Plan:
        """The same plan with only the changes of these kinds."""
        return replace(self, changes=tuple(c for c in self.changes if c.action in actions))

    @property
    def obstacles(self) -> tuple[Change, ...]:
        """The differences that no change can remove."""
        return self.only(CANNOT_CHANGE).changes

    def raise_refusals(self, more: Iterable[ResourceError] = ()) -> None:
        """Raise the refusals of the plan, and ``more``, as one error.

        Raises:
            ResourceError: with a line for each, if there is any.
        """
        refusals = [*self.refusals, *more]
        if refusals:
            raise ResourceError("\n".join(map(str, refusals))) from refusals[0].__cause__
