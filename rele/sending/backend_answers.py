"""The answer of a backend, as one outcome for each message."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from itertools import islice
from typing import Any

from rele.backends import Accepted, BaseBackend, Deferred, Message, Outcome, Refused


def outcomes_of(backend: BaseBackend, messages: Sequence[Message]) -> list[Outcome]:
    """Let ``backend`` send ``messages``; return an outcome for each, even if its answer is wrong.

    Raises:
        Exception: any error of the backend.
    """
    answers = backend.send(messages) if messages else ()
    # A project's backend may answer for too few messages, or return nothing.
    given = islice(answers or (), len(messages))
    outcomes = [_outcome_of(answer, backend) for answer in given]
    missing = len(messages) - len(outcomes)
    return [*outcomes, *(Refused(_wrong_answer(backend, "nothing")) for _ in range(missing))]


def _outcome_of(answer: Any, backend: BaseBackend) -> Outcome:
    if isinstance(answer, (Accepted, Deferred, Refused)):
        return answer
    if hasattr(answer, "add_done_callback"):
        return Accepted(answer)
    return Refused(_wrong_answer(backend, repr(answer)))


def _wrong_answer(backend: BaseBackend, answer: str) -> TypeError:
    return TypeError(
        f"{type(backend).__qualname__}.send() answered {answer} for a message: it must return a "
        "list with an Accepted, Deferred, Refused or a future for each message, in their order."
    )


def failure_of(future: Future[str]) -> BaseException | None:
    """The error of a future that is done; ``None`` if its message was published."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        return cancelled
    return (
        error if isinstance(error, BaseException) else None
    )  # a test's stand-in has neither result nor error
