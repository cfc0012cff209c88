"""The changes from what Pub/Sub has to what is declared."""

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
    """That an option is not as it is declared."""

    option: str
    """Its name in ``@sub``."""
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
    """What remains for a person to do."""
    needs: frozenset[str] = frozenset()
    """The paths of topics and subscriptions that must exist before."""
    carry_out: Callable[[], object] | None = None
    """Makes the change; ``None`` for an obstacle."""

    @property
    def summary(self) -> str:
        """All but the advice."""
        return self._describe(self.action)

    @property
    def report(self) -> str:
        """What was done, or cannot be, with the advice."""
        return self._with_advice(self._describe(_DONE.get(self.action, self.action)))

    @property
    def sets_retry_policy(self) -> bool:
        """Whether a subscription that exists gets another retry policy."""
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
    """What would have to change, and what else was found out; to make one changes nothing."""

    changes: tuple[Change, ...] = ()
    """In the order in which they are shown."""
    refusals: tuple[ResourceError, ...] = ()
    """Why some of the topics and subscriptions could not be read."""
    warnings: tuple[str, ...] = ()
    """What a person should look after, a sentence each."""
    lacks_retry_policy: Mapping[str, bool] = field(default_factory=dict)
    """Whether a subscription exists without a retry policy, by path; of all that could be read."""

    def only(self, *actions: str) -> Plan:
        """The same with only the changes of these kinds."""
        return replace(self, changes=tuple(c for c in self.changes if c.action in actions))

    @property
    def obstacles(self) -> tuple[Change, ...]:
        """Those that cannot be carried out."""
        return self.only(CANNOT_CHANGE).changes

    def raise_refusals(self, more: Iterable[ResourceError] = ()) -> None:
        """Raise what could not be read, and ``more``, as one error.

        Raises:
            ResourceError: with a line for each, if there is any.
        """
        refusals = [*self.refusals, *more]
        if refusals:
            raise ResourceError("\n".join(map(str, refusals))) from refusals[0].__cause__
