"""The answer of a backend, as one outcome for each message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future
from itertools import islice
from typing import Any

from rele.backends import Accepted, BaseBackend, Deferred, Message, Outcome, Refused

ANY_OUTCOME = (Accepted, Deferred, Refused)
_ANY_ANSWER = (Future, *ANY_OUTCOME)


def outcomes_of(backend: BaseBackend, messages: Sequence[Message]) -> list[Outcome]:
    """Let ``backend`` send ``messages``; return an outcome for each, even if its answer is wrong.

    Raises:
        Exception: any error of the backend.
    """
    answers = backend.send(messages) if messages else ()
    checked = checked_answers(backend, islice(answers or (), len(messages)), len(messages))
    return [each if isinstance(each, ANY_OUTCOME) else Accepted(each) for each in checked]


def checked_answers(
    backend: BaseBackend, answers: Iterable[Any], count: int
) -> list[Outcome | Future[str]]:
    """The answers of ``backend`` for ``count`` messages, with a refusal for each wrong answer."""
    checked = [
        each
        if isinstance(each, _ANY_ANSWER) or hasattr(each, "add_done_callback")
        else Refused(_wrong_answer(backend, repr(each)))
        for each in answers
    ]
    while len(checked) < count:  # a project's backend may answer for too few, or nothing
        checked.append(Refused(_wrong_answer(backend, "nothing")))
    return checked


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


def is_real(future: Future[str]) -> bool:
    """Whether ``future`` is a real one: the stand-in of a test does not report when it is done."""
    return issubclass(type(future), Future)
