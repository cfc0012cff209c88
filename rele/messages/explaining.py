"""Errors of other packages, said in one line that names what was wrong and what to do."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

AnyError = TypeVar("AnyError", bound=BaseException)

_ORIGIN = "_rele_origin"


def with_text(error: AnyError, text: str) -> AnyError:
    """A copy of ``error`` that says ``text``, of its class, with nothing that led to it."""
    copy = type(error).__new__(type(error))
    vars(copy).update(vars(error))
    if hasattr(error, "message"):  # what Google's errors show
        copy.message = text  # type: ignore[attr-defined]
    if hasattr(error, "_details"):  # they show these after it, in lines of their own
        copy._details = ()  # type: ignore[attr-defined]
    copy.args = (text,)
    return copy


def explained(error: AnyError, text: str) -> AnyError:
    """As :func:`with_text`, for an error of Google's client; :func:`origin_of` finds it again."""
    copy = with_text(error, text)
    setattr(copy, _ORIGIN, error)
    return copy


def origin_of(error: BaseException) -> BaseException | None:
    """The error that ``error`` explains, with its traceback; ``None`` where it explains none."""
    return getattr(error, _ORIGIN, None)


def forget_way(error: BaseException) -> None:
    """Leave out by which functions of Google's client an explained error came here."""
    if origin_of(error) is not None:
        error.__traceback__ = None


def in_one_line(error: BaseException) -> str:
    """What ``error`` says; with its class, unless it explains itself."""
    text = " ".join(str(error).split())
    if origin_of(error) is not None:
        return text.removeprefix(f"{getattr(error, 'code', None)} ")
    if isinstance(error, (TimeoutError, FutureTimeoutError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
