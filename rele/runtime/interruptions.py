"""Exceptions that a signal raises in the middle of code that has done nothing wrong."""

from __future__ import annotations

import signal
import threading
from types import CodeType
from typing import Any


def is_interruption(error: BaseException) -> bool:
    """Whether ``error`` was raised by the handler of a signal, such as Ctrl-C or a time limit.

    Python runs these handlers in the main thread, between any two steps of what it does.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    return isinstance(error, KeyboardInterrupt) or _passed_a_handler(error)


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
