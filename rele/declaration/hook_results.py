"""What hooks have returned and raised, and what becomes of it."""

from __future__ import annotations

import logging
from typing import Any

from rele.declaration.handlers import check_result
from rele.runtime.own_records import log_publishing

logger = logging.getLogger("rele.middleware")


def check_hook_result(result: Any, hook_name: str, middleware: object) -> None:
    """Refuse a result of a hook whose work was not done, with a RuntimeError."""
    check_result(result, f"The hook {hook_name} of %s", type(middleware).__qualname__)


def report_hook(hook_name: str, middleware: object, error: BaseException) -> None:
    """Log that a hook has failed."""
    log_hook_error(
        hook_name,
        error,
        "The hook %s of %s raised %r; everything else continues.",
        hook_name,
        type(middleware).__qualname__,
        error,
    )


def report_safely(hook_name: str, middleware: object, error: BaseException) -> None:
    """As :func:`report_hook`; whatever interrupts it is logged, too."""
    try:
        report_hook(hook_name, middleware, error)
    except BaseException:
        logger.exception("The hook %s was interrupted.", hook_name)


def log_hook_error(hook_name: str, error: BaseException, message: str, *args: object) -> None:
    """Log an error about a hook."""
    if "publish" in hook_name:
        log_publishing(logger, logging.ERROR, message, *args, exc_info=error)
    else:
        logger.error(message, *args, exc_info=error)
