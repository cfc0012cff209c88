"""What a scripted server does with a request, other than to accept it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from grpc import StatusCode

from tests.support.inbox import Inbox

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Which:
    """The requests that a rule is for: those that have all that is given.

    A field is named as the attribute of the request that it is about; of an attribute that is a
    list, it is one of the items.
    """

    def matches(self, request: Any) -> bool:
        wanted = {each.name: getattr(self, each.name) for each in fields(self)}
        return all(
            value is None or _has(getattr(request, name), value) for name, value in wanted.items()
        )


def _has(actual: Any, value: Any) -> bool:
    return value in actual if isinstance(actual, list) else bool(actual == value)


class Accepting(Protocol):
    """A server that can accept a request."""

    def accept(self, request: Any) -> None: ...


@dataclass
class Rule(ABC):
    which: Which
    times: int | None
    """How many requests more it is for; ``None``: all."""

    def applies(self, request: Any) -> bool:
        """Whether it is for this request, which then counts."""
        if self.times == 0 or not self.which.matches(request):
            return False
        if self.times is not None:
            self.times -= 1
        return True

    @abstractmethod
    def answer(self, server: Accepting, request: Any) -> None:
        """Answer the request, now or later, or never."""


@dataclass
class Refusal(Rule):
    code: StatusCode
    details: str

    def answer(self, server: Accepting, request: Any) -> None:
        request.call.refuse(self.code, self.details)


@dataclass
class Hold(Rule):
    """Requests that are not answered until the test says so, or never."""

    server: Accepting
    requests: Inbox = field(default_factory=Inbox)
    """Those that it has held, answered or not."""
    _unanswered: list[Any] = field(default_factory=list)

    def answer(self, server: Accepting, request: Any) -> None:
        self._unanswered.append(request)
        self.requests.put(request)

    def release(self) -> None:
        """Accept those that are held, in the order of arrival, and hold no more."""
        self.times = 0
        self.release_held()

    def release_held(self) -> None:
        """Accept those that are held now, and go on holding those to come."""
        while self._unanswered:
            self.server.accept(self._unanswered.pop(0))

    def refuse(self, code: StatusCode, details: str = "") -> None:
        """Refuse those that are held, in the order of arrival, and hold no more."""
        self.times = 0
        while self._unanswered:
            self._unanswered.pop(0).call.refuse(code, details)


class ScriptedServer(ABC):
    """A server that accepts every request, unless a test has made a rule for it.

    The first rule that is for a request answers it, in the order in which they were made.
    """

    which: ClassVar[type[Which]]
    """How a test describes requests."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def refuse(
        self, code: StatusCode, details: str = "", *, times: int | None = None, **which: Any
    ) -> None:
        """Answer with ``code``: ``times`` requests, else all, of those that ``which`` describes.

        Args:
            which: the fields of :attr:`which`.
        """
        self._rules.append(Refusal(self.which(**which), times, code, details))

    def hold(self, *, times: int | None = None, **which: Any) -> Hold:
        """Let requests wait for their answer; the arguments are those of :meth:`refuse`."""
        hold = Hold(self.which(**which), times, self)
        self._rules.append(hold)
        return hold

    def accept_all(self) -> None:
        """Accept every request from now on; those that are held stay so."""
        self._rules.clear()

    @abstractmethod
    def accept(self, request: Any) -> None:
        """Accept a request that was not answered yet."""

    @abstractmethod
    def close(self) -> None:
        """Stop serving."""

    def _rule_for(self, request: Any) -> Rule | None:
        return next((rule for rule in self._rules if rule.applies(request)), None)

    def _answer(self, rule: Rule | None, request: Any) -> None:
        if rule is None:
            self.accept(request)
        else:
            rule.answer(self, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
