"""Errors of other packages, in one line that says what is wrong and what to do."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

AnyError = TypeVar("AnyError", bound=BaseException)

_ORIGIN = "_rele_origin"


def with_text(error: AnyError, text: str) -> AnyError:
    """A copy of ``error`` with the message ``text``, without its cause and its traceback."""
    copy = type(error).__new__(type(error))
    vars(copy).update(vars(error))
    if hasattr(error, "message"):  # what Google's errors show
        copy.message = text  # type: ignore[attr-defined]
    if hasattr(error, "_details"):  # which they show in more lines after the message
        copy._details = ()  # type: ignore[attr-defined]
    copy.args = (text,)
    return copy


def explained(error: AnyError, text: str) -> AnyError:
    """As :func:`with_text`, for an error of Google's client, which :func:`origin_of` returns."""
    copy = with_text(error, text)
    setattr(copy, _ORIGIN, error)
    return copy


def origin_of(error: BaseException) -> BaseException | None:
    """The error that ``error`` explains, with its traceback; ``None`` if it explains none."""
    return getattr(error, _ORIGIN, None)


def forget_way(error: BaseException) -> None:
    """Remove the functions of Google's client from the traceback of an explained error."""
    if origin_of(error) is not None:
        error.__traceback__ = None


def in_one_line(error: BaseException) -> str:
    """The message of ``error``, after the name of its class unless the message is enough."""
    text = " ".join(str(error).split())
    if origin_of(error) is not None:
        return text.removeprefix(f"{getattr(error, 'code', None)} ")
    if isinstance(error, (TimeoutError, FutureTimeoutError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
