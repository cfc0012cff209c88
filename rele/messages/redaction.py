"""What of a message may be shown in a log: without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Redact = Callable[[Any], Any]
"""Gets the data of a message, or its attributes as a dict; returns what of it may be shown."""

HIDDEN = "***"
"""What is shown instead of a secret."""

LARGE = 65_536
"""Characters from which a text is not read as JSON, but searched for secrets."""

_IN_A_NAME = re.compile(
    r"passw|passphrase|passcode|secret|token|credential|authoriz|authoris|apikey|privatekey|"
    r"accesskey|cookie|signature|sessionid|sessionkey|cardnumber"
)
"""What makes a secret of the value whose name has it, without separators and in small letters."""

_WORDS = frozenset(
    {"auth", "bearer", "cvc", "cvv", "iban", "jwt", "otp", "passwd", "pin", "pwd", "ssn"}
)
"""Words that are too short to be searched for within others: `pin` is one, `shipping` is not."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_NAME = re.compile(r"""(?<![\w.-])([\w.-]{1,100})\\?["']?\s*[:=]\s*""")
"""A name before its value: in a form, a URL, a dict as Python writes it, or JSON that was cut."""

_VALUE = re.compile(
    r"""\\"(?:[^"\\]|\\[^"])*(?:\\")?|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?"""
    r"""|(?:(?:bearer|basic)\s+)?[^\s,;&}\]"']*""",
    re.IGNORECASE | re.DOTALL,
)

_LOGIN = re.compile(r"(?<=://)[^/\s:@]{0,100}:[^/\s@]{0,200}@")
"""The user and the password in a URL."""


def hide_secrets(data: Any) -> Any:
    """A copy of ``data`` without the values whose names look like those of secrets.

    Names are the keys of dicts, at any depth, and what stands before ``=`` or ``:`` in a text. A
    text that is JSON is treated as what it stands for.
    """
    if isinstance(data, str):
        return _hide_in_text(data)
    if isinstance(data, bytes):
        try:
            return _hide_in_text(data.decode("utf-8")).encode("utf-8")
        except UnicodeDecodeError:
            return data
    if isinstance(data, Mapping):
        return {
            name: HIDDEN if is_secret(str(name)) else hide_secrets(value)
            for name, value in data.items()
        }
    if isinstance(data, (list, tuple, set, frozenset)):
        return [hide_secrets(each) for each in data]
    return data


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether ``name`` looks like that of a secret, such as ``apiKey`` or ``db_password``."""
    if _IN_A_NAME.search(re.sub(r"[\W_]", "", name).casefold()):
        return True
    return not _WORDS.isdisjoint(word.casefold() for word in _WORD.findall(name))


def has_secrets(attributes: Mapping[str, str]) -> bool:
    """Whether the name of an attribute looks like that of a secret."""
    return _is_one_secret(tuple(attributes))


@lru_cache(maxsize=1024)  # the messages of a topic have the same names
def _is_one_secret(names: tuple[str, ...]) -> bool:
    return any(is_secret(str(name)) for name in names)


def _hide_in_text(text: str) -> str:
    if len(text) < LARGE and text[:1] in ("{", "["):
        try:
            data = json.loads(text)
            hidden = hide_secrets(data)
            return text if hidden == data else json.dumps(hidden, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    return _LOGIN.sub(f"{HIDDEN}@", _hide_values(text))


def _hide_values(text: str) -> str:
    parts: list[str] = []
    position = 0
    while found := _NAME.search(text, position):
        begin = found.end()
        parts.append(text[position:begin])
        position = begin
        if is_secret(found[1]):
            parts.append(HIDDEN)
            if text[begin : begin + 1] in ("{", "["):
                return "".join(parts)  # nobody knows where that ends
            value = _VALUE.match(text, begin)
            position = begin if value is None else value.end()
    return "".join([*parts, text[position:]])
