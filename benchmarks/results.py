"""What commands put into ``RESULTS.md``, between two markers of their own."""

from __future__ import annotations

import re
from pathlib import Path

PATH = Path(__file__).parent / "RESULTS.md"


def record(name: str, text: str) -> None:
    """Replace what stands between the markers of ``name``."""
    content = PATH.read_text(encoding="utf-8")
    start, end = _place(name, content)
    PATH.write_text(f"{content[:start]}\n{text}\n{content[end:]}", encoding="utf-8")


def recorded(name: str) -> str:
    """What stands between the markers of ``name``."""
    content = PATH.read_text(encoding="utf-8")
    start, end = _place(name, content)
    return content[start:end].strip()


def _place(name: str, content: str) -> tuple[int, int]:
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    found = re.search(f"{re.escape(begin)}(.*?){re.escape(end)}", content, re.DOTALL)
    if found is None:
        raise ValueError(f"{PATH} has no place for {name!r}: it needs {begin} and {end}")
    return found.span(1)
