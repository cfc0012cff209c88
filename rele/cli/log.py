"""The log of a worker on a terminal, if the project has not configured logging."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rele.cli.parser import whole_number
from rele.exceptions import ConfigurationError
from rele.handling.current import current_message
from rele.logs import JsonFormatter, RepeatFilter
from rele.logs.repeats import is_repeat, noted
from rele.runtime.worker_process import this_worker_process

LEVELS = (logging.ERROR, logging.INFO, logging.DEBUG)
"""The level by verbosity."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def add_verbosity(parser: argparse.ArgumentParser, default: Any = None) -> None:
    """Add ``-v``, as Django's commands have it.

    Args:
        parser: of the command.
        default: ``argparse.SUPPRESS`` where ``-v`` may have been given before the command's name.
    """
    parser.add_argument(
        "-v",
        "--verbosity",
        type=whole_number,
        choices=(0, 1, 2),
        default=default,
        help="what is logged to the standard error: 0 errors, 1 also a line for each message, 2 "
        "everything (default: 1; without -v, logging that the project has configured is left as "
        "it is)",
    )


def add_log_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--log-format``, of a worker."""
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="json: write each line of the standard error as JSON, with what is known of the "
        "message; logging to the console that the project has configured is changed as well",
    )


def log_to_stderr(
    verbosity: int | None, *, of_project: bool = False, as_json: bool = False
) -> None:
    """Show Relé's records of the level of ``verbosity``.

    Args:
        verbosity: the value of ``-v``. ``None`` (no ``-v``) keeps the project's logging if it has
            configured any, and is the same as 1 otherwise.
        of_project: also show the project's own records, from INFO up, if it has configured no
            logging.
        as_json: write JSON lines to the console, also where the project has configured logging.
    """
    is_configured = _is_configured()
    if not is_configured or verbosity is not None:
        _show(verbosity, of_project=of_project and not is_configured)
    if as_json:
        _write_json()


def say_json(line: str) -> None:
    """Write ``line`` to the standard error as a record of INFO is written as JSON."""
    record = logging.LogRecord("rele.cli", logging.INFO, "", 0, line, (), None)
    if sys.stderr is not None:
        print(JsonFormatter().format(record), file=sys.stderr, flush=True)


def _write_json() -> None:
    console: list[logging.Handler] = [
        handler
        for handler in _handlers()
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
    if not console:
        console = [_handler(below=None)]
        logging.getLogger("rele").addHandler(console[0])
    for handler in console:
        handler.setFormatter(JsonFormatter())


def _show(verbosity: int | None, *, of_project: bool) -> None:
    level = LEVELS[1 if verbosity is None else min(verbosity, 2)]
    logging.getLogger("rele").setLevel(level)
    for logger in _loggers_below():
        # Django's LOGGING disables the loggers of modules that settings.py has imported, unless it
        # sets `disable_existing_loggers` to False.
        logger.disabled = False
    if of_project:
        logging.getLogger().setLevel(max(level, logging.INFO))
    written_from = min((handler.level for handler in _handlers()), default=None)
    if written_from is None or written_from > level:
        handler = _handler(below=written_from)
        logging.getLogger("" if of_project else "rele").addHandler(handler)


def _is_configured() -> bool:
    """Whether the project has configured where Relé's records go.

    Django's default configuration does not count: it concerns the logger ``django`` alone.
    """
    rele, root = logging.getLogger("rele"), logging.getLogger()
    return (
        bool(_handlers())
        or rele.level != logging.NOTSET
        or root.level != logging.WARNING  # the default of Python
        or any(logger.handlers for logger in _loggers_below())
    )


def _handlers() -> list[logging.Handler]:
    """The handlers that get Relé's records."""
    rele, root = logging.getLogger("rele"), logging.getLogger()
    handlers = [*rele.handlers, *(root.handlers if rele.propagate else ())]
    return [each for each in handlers if not isinstance(each, logging.NullHandler)]


def _loggers_below() -> list[logging.Logger]:
    return [
        logger
        for name, logger in list(logging.root.manager.loggerDict.items())
        if name.startswith("rele.") and isinstance(logger, logging.Logger)
    ]


def _handler(below: int | None) -> logging.Handler:
    """A handler that writes to the standard error, only records below ``below`` if it is given."""
    handler = logging.StreamHandler()
    handler.setFormatter(MessageFormatter())
    handler.addFilter(RepeatFilter())
    if below is not None:
        handler.addFilter(lambda record: record.levelno < below)
    return handler


class MessageFormatter(logging.Formatter):
    """Formats LoggingMiddleware's records as a line with the message's id, attempt and duration.

    The line has the attempt if the subscription has a dead-letter policy: otherwise Pub/Sub does
    not count attempts. Other records are formatted by ``format``. In one of several worker
    processes (``--processes``) each line begins with its number, such as ``[2]``.
    """

    def __init__(self, format: str = _FORMAT) -> None:  # noqa: A002 - as LOGGING calls it
        super().__init__(format)
        self._mark = _mark_of_process()

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback unless it is one of too many (see :class:`RepeatFilter`)."""
        if not is_repeat(record):
            return super().format(record)
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        return self.formatMessage(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = _line_on_message(record)
        if line is None:
            return noted(record, self._mark + super().formatMessage(record))
        return noted(record, f"{self._mark}{self.formatTime(record)} {record.levelname} {line}")


def _mark_of_process() -> str:
    """``[2] `` in the second of several workers, so that their lines can be told apart."""
    with suppress(ConfigurationError):  # the command that runs the worker raises it
        if process := this_worker_process():
            return f"[{process.number}] "
    return ""


_STATUSES = ("received", "succeeded", "failed")


def _line_on_message(record: logging.LogRecord) -> str | None:
    """The line for a record about the message being handled; ``None`` for any other record."""
    metrics, message = getattr(record, "metrics", None), current_message()
    if message is None or not isinstance(metrics, dict) or metrics.get("name") != "subscriptions":
        return None
    data = metrics.get("data", {})
    if data.get("status") not in _STATUSES:
        return None
    parts = [f"{message.subscription.name}: message {message.id} {_outcome(data, record)}"]
    if message.delivery_attempt is not None:
        parts.append(f"attempt {message.delivery_attempt}")
    if "duration_seconds" in data:
        parts.append(f"{data['duration_seconds']:.3f} s")
    return ", ".join(parts)


def _outcome(data: Mapping[str, Any], record: logging.LogRecord) -> str:
    """The outcome in words, without the text of an exception: the traceback that follows has it."""
    if data["status"] != "failed":
        return "processed" if data["status"] == "succeeded" else "received"
    if record.exc_info and record.exc_info[1] is not None:
        return f"failed with {type(record.exc_info[1]).__name__}"
    decision = record.args[-1] if isinstance(record.args, tuple) and record.args else "an error"
    cause = decision.__cause__ if isinstance(decision, BaseException) else None
    return f"ended with {decision!r}{'' if cause is None else f', from {cause!r}'}"
