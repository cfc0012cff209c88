"""Damaged data: named in the log, and set aside in a file of its own."""

import base64
import json
import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rele.emulator.storage.rows import Row

FILE_NAME = "pubsub.damaged.jsonl"

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Fault:
    """One fault of the data: its text for the log, and the damaged rows by table."""

    text: str
    rows: list[tuple[str, Row]] = field(default_factory=list)


def count(directory: Path) -> int:
    """How many faults were noted in the directory."""
    path = directory / FILE_NAME
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def note(directory: Path, faults: list[Fault]) -> None:
    """Log faults, and append them with their rows to the file. Raises ``OSError``."""
    path = directory / FILE_NAME
    for fault in faults:
        _LOG.error("The data in %s is damaged: %s.", directory, fault.text)
    _LOG.error("What is damaged was set aside in %s; everything else is served.", path)
    found = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with path.open("a", encoding="utf-8") as file:
        for fault in faults:
            rows = [[table, [_shown(column) for column in row]] for table, row in fault.rows]
            line = {"found": found, "fault": fault.text, "rows": rows}
            file.write(json.dumps(line) + "\n")


def _shown(column: Any) -> Any:
    """A column as JSON has it: bytes as base64."""
    if isinstance(column, bytes):
        return base64.b64encode(column).decode("ascii")
    return column
