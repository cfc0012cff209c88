"""Exceptions that a signal raises in the middle of code that has done nothing wrong."""

from __future__ import annotations

import dis
import signal
import threading
from types import CodeType
from typing import Any

_ENTERS = dis.opmap.get("RESUME")
"""The step at which Python 3.11 and later enter a function; before that it has no number."""


def is_interruption(error: BaseException) -> bool:
    """Whether ``error`` was raised by the handler of a signal, such as Ctrl-C or a time limit.

    Python runs these handlers in the main thread, between any two steps of what it does.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    return isinstance(error, KeyboardInterrupt) or _passed_a_handler(error)


def has_begun(error: BaseException, caller: CodeType) -> bool:
    """Whether the function that ``caller`` was calling had begun when a signal raised ``error``.

    Python looks for signals when it enters a function, before the first step of it.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code is not caller:
        traceback = traceback.tb_next
    if traceback is None or traceback.tb_next is None:
        return True
    code, position = traceback.tb_next.tb_frame.f_code, traceback.tb_next.tb_lasti
    return position > 0 and code.co_code[position] != _ENTERS


def _passed_a_handler(error: BaseException) -> bool:
    handlers = {_code_of(signal.getsignal(signum)) for signum in signal.valid_signals()}
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback = traceback.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    """The code of a handler: of a function, a method, a partial or an object that can be called."""
    if not callable(handler):
        return None
    handler = getattr(handler, "func", handler)
    handler = getattr(handler, "__func__", handler)
    code: CodeType | None = getattr(handler, "__code__", None)
    return code or getattr(vars(type(handler)).get("__call__"), "__code__", None)
