"""The quoted strings of filter expressions.

"Filter messages from a subscription" in the Pub/Sub documentation names escaped backslashes,
quotation marks and non-printing characters, and Unicode, hexadecimal and octal sequences.
"""

import re
from typing import Protocol


class Positioned(Protocol):
    """Something found in the expression at ``position``, counted from 1."""

    @property
    def position(self) -> int: ...


class FilterSyntaxError(ValueError):
    """The expression is not a filter: what is wrong, and where (characters, counted from 1)."""

    def __init__(self, problem: str, where: "int | Positioned") -> None:
        self.position = where if isinstance(where, int) else where.position
        super().__init__(f"{problem} at position {self.position}")


_PIECE = re.compile(
    r"\\(?:x(?P<hexadecimal>[0-9A-Fa-f]{2})|(?P<octal>[0-7]{1,3})"
    r"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<simple>[abfnrtv\\\"'?`]))"
    r"|(?P<plain>[^\\]+)"
)
_SIMPLE = {
    **{character: character for character in "\\\"'?`"},
    **dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)),
}
_MAX_BYTE = 0xFF


def unquote(quoted: str, position: int) -> str:
    """The text that a string literal stands for; ``position`` is where its first quote is.

    A hexadecimal or octal sequence is a byte of UTF-8. Raises ``FilterSyntaxError``.
    """
    text = bytearray()
    at = 1
    while at < len(quoted) - 1:
        match = _PIECE.match(quoted, at, len(quoted) - 1)
        piece = _bytes_of(match) if match is not None else None
        if match is None or piece is None:
            raise FilterSyntaxError("an invalid escape sequence", position + at)
        text += piece
        at = match.end()
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise FilterSyntaxError("a string that is not UTF-8", position) from None


def _bytes_of(match: "re.Match[str]") -> bytes | None:
    """What one plain piece or escape sequence stands for, or None if it is invalid."""
    kind, text = str(match.lastgroup), match[str(match.lastgroup)]
    if kind == "plain":
        return text.encode()
    if kind == "simple":
        return _SIMPLE[text].encode()
    number = int(text, 8 if kind == "octal" else 16)
    if kind in ("hexadecimal", "octal"):
        return bytes((number,)) if number <= _MAX_BYTE else None
    try:
        return chr(number).encode()
    except (ValueError, OverflowError):
        return None
