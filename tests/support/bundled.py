"""The middlewares that come with Relé, and a reader of all that is logged with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask

import rele
from rele.config import Config

NAMES = (
    "LoggingMiddleware",
    "VerboseLoggingMiddleware",
    "DjangoDBMiddleware",
    "FlaskMiddleware",
    "UnrecoverableMiddleWare",
)

SETS = {"none": (), **{name: (name,) for name in NAMES}, "all": NAMES}
"""Each of them alone, and all together."""


def set_up(names: tuple[str, ...], *others: str, **settings: Any) -> Config:
    """Set Relé up with these middlewares, then ``others`` (dotted paths), as a project would."""
    paths = [*(f"rele.contrib.{name}" for name in names), *others]
    return rele.setup({"MIDDLEWARE": paths, **settings}, flask_app=Flask(__name__))


@dataclass(frozen=True)
class Line:
    """A record as it came out of the formatter."""

    logger: str
    level: str
    text: str


class LogReader(logging.Handler):
    """Formats every record, for people and as JSON, and keeps what went wrong with any.

    Only the start of long texts is kept: some are of 40 MB.
    """

    _KEPT = 1000

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.failures: list[Exception] = []
        self.longest = 0
        """Characters of the longest text."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            text.encode()
            extra = {name: vars(record).get(name) for name in ("metrics", "subscription_message")}
            json.dumps(extra, ensure_ascii=False).encode()
        except Exception as error:  # noqa: BLE001 - whatever it is, this line is lost to a user
            self.failures.append(error)
            return
        self.longest = max(self.longest, len(text))
        self.lines.append(Line(record.name, record.levelname, text[: self._KEPT]))

    def texts_of(self, level: str, logger: str = "rele") -> list[str]:
        """What was logged at ``level`` by ``logger`` and those below it."""
        return [
            line.text
            for line in self.lines
            if line.level == level and f"{line.logger}.".startswith(f"{logger}.")
        ]


@contextmanager
def reading_logs() -> Iterator[LogReader]:
    """Within the block, let nothing but a LogReader have what Relé logs, DEBUG included.

    In the end every record could be formatted, and no hook has raised. For the test's body, not
    for a fixture: pytest would give the test handlers of its own.
    """
    logger = logging.getLogger("rele")
    reader, before = LogReader(), (logger.handlers, logger.level, logger.propagate)
    # The handlers of pytest and of the test project would keep each 40 MB, several times.
    logger.handlers, logger.propagate = [reader], False
    logger.setLevel(logging.DEBUG)
    try:
        yield reader
    finally:
        logger.handlers, level, logger.propagate = before
        logger.setLevel(level)
    assert reader.failures == []
    assert reader.texts_of("ERROR", "rele.middleware") == []
