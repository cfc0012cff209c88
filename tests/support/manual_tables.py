"""The tables of the manual that are made from the code: ``python -m tests.support.manual_tables``.

Each is written into its document in place of the one that is there.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rele.contrib.outbox.conf import OUTBOX_SETTINGS
from rele.contrib.outbox.room import ROOM
from rele.declaration.options import OPTIONS
from rele.schema.settings import BATCHING, LIMITS, SETTINGS, Setting

ROOT = Path(__file__).parents[2]

WIDTH = 100

ALL_SETTINGS = {**SETTINGS, **ROOM.settings}
"""The keys of ``RELE``, those of the rooms that come with Relé included."""

PUBLISHER_SETTINGS = {
    name: setting
    for name, setting in SETTINGS.items()
    if name == "ENGINE" or (name.startswith("PUBLISHER_") and name != "PUBLISHER_BACKEND")
}
"""Those that the page on publishing is about."""

Row = Sequence[str]


def table_of_options() -> str:
    return _table(
        ("Argument", "Meaning"),
        [(f"``{name}``", option.documentation) for name, option in OPTIONS.items()],
    )


def table_of_settings(settings: Mapping[str, Setting], title: str = "Setting") -> str:
    return _table(
        (title, "Default", "Meaning"),
        [
            (f"``{name}``", setting.default_text or _text(setting.default), setting.documentation)
            for name, setting in settings.items()
        ],
    )


def tables() -> dict[str, list[str]]:
    """All of them, by the document that they are in."""
    return {
        "README.rst": [table_of_settings(ALL_SETTINGS), table_of_options()],
        "docs/publishing.rst": [
            table_of_settings(PUBLISHER_SETTINGS),
            table_of_settings(BATCHING, "``PUBLISHER_BATCHING``"),
            table_of_settings(LIMITS, "``PUBLISHER_LIMITS``"),
        ],
        "docs/transactions.rst": [table_of_settings(OUTBOX_SETTINGS)],
    }


def _text(default: Any) -> str:
    """A default as the manual shows it: of a class of Relé only the name."""
    if isinstance(default, list):
        return ", ".join(map(_text, default))
    text = str(default)
    return text.rpartition(".")[2] if text.startswith("rele.") else text


def _table(head: Row, rows: Iterable[Row]) -> str:
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    widths.append(WIDTH - sum(widths) - len(widths))
    rule = " ".join("=" * width for width in widths)
    lines = [rule, *_lines(head, widths), rule]
    for row in rows[1:]:
        lines += _lines(row, widths)
    return "\n".join([*lines, rule]) + "\n"


def _lines(row: Row, widths: Sequence[int]) -> list[str]:
    *cells, text = row
    wrapped = textwrap.wrap(text, widths[-1], break_long_words=False, break_on_hyphens=False)
    first = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    indent = [" " * width for width in widths[:-1]]
    return [" ".join([*(indent if number else first), line]) for number, line in enumerate(wrapped)]


def with_table(text: str, table: str) -> str:
    """The text, with ``table`` in place of the one that has the same head and first row."""
    _, head, _, row, *_ = table.splitlines()
    titles = r" +".join(map(re.escape, head.split()))
    first = re.escape(row.split()[0])
    place = re.compile(
        rf"^=[= ]+\n{titles} *\n=[= ]+\n{first} .*?^=[= ]+\n", flags=re.MULTILINE | re.DOTALL
    )
    replaced, number = place.subn(lambda match: table, text)
    assert number == 1, f"There is no table {head!r} that begins with {row!r}."
    return replaced


def main() -> None:
    for name, found in tables().items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        for table in found:
            text = with_table(text, table)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
