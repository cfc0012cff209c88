"""What a scripted server does with a request, other than to accept it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol

from grpc import StatusCode

from tests.support.inbox import Inbox


class Which(Protocol):
    """The requests that a rule is for."""

    def matches(self, request: Any) -> bool: ...


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
