"""Filter expressions of subscriptions, such as ``attributes.kind = "order" AND attributes:urgent``.

The grammar is that of "Filter messages from a subscription" in the Pub/Sub documentation:

* ``attributes:KEY`` has the key; ``attributes.KEY = "VALUE"`` and ``!=`` compare its value (a
  message without the key is unequal); ``hasPrefix(attributes.KEY, "VALUE")``;
* ``NOT`` or ``-`` before one of these or before parentheses, once;
* ``AND`` or ``OR`` between them, the two mixed only with parentheses;
* a KEY of anything but letters, digits, ``_`` and ``-`` is quoted like a VALUE.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rele.emulator.rules.filter_strings import FilterSyntaxError, unquote

__all__ = ["Filter", "FilterSyntaxError", "compile_filter"]

Filter: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether a message with these attributes matches."""

# Far more than a real filter has, and far less than Python's recursion limit allows.
_MAX_DEPTH = 64

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<symbol>!=|[=:.,()-])"""
    r"""|(?P<end>\Z))""",
    re.DOTALL,
)


@dataclass(slots=True, frozen=True)
class _Token:
    """``kind`` is ``word``, ``string``, ``symbol`` or ``end``; ``position`` counts from 1."""

    kind: str
    text: str
    position: int


def compile_filter(text: str) -> Filter:
    """The filter that ``text`` describes. Raises ``FilterSyntaxError``."""
    parser = _Parser(_tokens(text))
    matches = parser.expression(0)
    parser.expect_end()
    return matches


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            unclosed = "a string without a closing quote"
            problem = unclosed if text[at] == '"' else f"unexpected {text[at]!r}"
            raise FilterSyntaxError(problem, at + 1)
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return tokens


class _Parser:
    """By recursive descent; each method reads what it is named after."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def expression(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        joint = ""
        while (token := self._peek()).text in ("AND", "OR") and token.kind == "word":
            if joint and token.text != joint:
                raise FilterSyntaxError("AND and OR can only be mixed with parentheses", token)
            joint = self._take().text
            terms.append(self._term(depth))
        if not joint:
            return terms[0]
        combine = all if joint == "AND" else any
        return lambda attributes: combine(matches(attributes) for matches in terms)

    def expect_end(self) -> None:
        token = self._peek()
        if token.kind != "end":
            raise FilterSyntaxError("expected AND, OR or the end", token)

    def _term(self, depth: int) -> Filter:
        if not self._skip("NOT") and not self._skip("-"):
            return self._factor(depth)
        matches = self._factor(depth)
        return lambda attributes: not matches(attributes)

    def _factor(self, depth: int) -> Filter:
        token = self._take()
        if token.kind == "symbol" and token.text == "(":
            if depth == _MAX_DEPTH:
                raise FilterSyntaxError(f"more than {_MAX_DEPTH} nested parentheses", token)
            inner = self.expression(depth + 1)
            self._expect(")")
            return inner
        if token.kind == "word" and token.text == "attributes":
            return self._has_key() if self._skip(":") else self._comparison()
        if token.kind == "word" and token.text == "hasPrefix":
            return self._has_prefix()
        raise FilterSyntaxError("expected attributes, hasPrefix, NOT or (", token)

    def _has_key(self) -> Filter:
        key = self._key()
        return lambda attributes: key in attributes

    def _comparison(self) -> Filter:
        self._expect(".")
        key = self._key()
        operator = self._take()
        if operator.text not in ("=", "!=") or operator.kind != "symbol":
            raise FilterSyntaxError("expected = or !=", operator)
        value = self._string()
        if operator.text == "=":
            return lambda attributes: key in attributes and attributes[key] == value
        return lambda attributes: key not in attributes or attributes[key] != value

    def _has_prefix(self) -> Filter:
        self._expect("(")
        self._expect("attributes")
        self._expect(".")
        key = self._key()
        self._expect(",")
        prefix = self._string()
        self._expect(")")
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def _key(self) -> str:
        token = self._take()
        if token.kind == "word":
            return token.text
        if token.kind == "string":
            return unquote(token.text, token.position)
        raise FilterSyntaxError("expected a key", token)

    def _string(self) -> str:
        token = self._take()
        if token.kind != "string":
            raise FilterSyntaxError("expected a value in double quotes", token)
        return unquote(token.text, token.position)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        # The end is never consumed: each method that reads it raises an error.
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _skip(self, text: str) -> bool:
        token = self._peek()
        found = token.text == text and token.kind != "string"
        if found:
            self._take()
        return found

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text or token.kind == "string":
            raise FilterSyntaxError(f"expected {text}", token)
