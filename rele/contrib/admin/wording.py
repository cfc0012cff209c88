"""Numbers and times as the page writes them."""

from __future__ import annotations


def number(count: float) -> str:
    """A count, with a comma before each three digits."""
    return f"{count:,.0f}"


def rate(per_minute: float) -> str:
    """Messages a minute: whole ones where there are many."""
    return f"{per_minute:,.0f}" if per_minute >= 10 or per_minute == 0 else f"{per_minute:.1f}"


def duration(seconds: float | None) -> str:
    """How long a handler took, in two digits: ``0.4 ms``, ``12 ms``, ``1.4 s``, ``3.0 min``."""
    if seconds is None:
        return "-"
    for size, unit in ((60.0, "min"), (1.0, "s"), (0.001, "ms")):
        if seconds >= size or unit == "ms":
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    raise AssertionError("the last unit is for all that is left")


def size(count: float) -> str:
    """A number of bytes, in two digits: ``12 bytes``, ``3.1 MB``."""
    for unit_size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit_size:
            value = count / unit_size
            return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return plural(int(count), "byte")


def span(seconds: float) -> str:
    """How long something has lasted, in its largest unit: ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s"


def age(seconds: float) -> str:
    """How long ago something was."""
    return "now" if seconds < 1 else f"{span(seconds)} ago"


def plural(count: int, noun: str) -> str:
    """A count of things."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number(count)} {noun}{'' if count == 1 else ending}"
