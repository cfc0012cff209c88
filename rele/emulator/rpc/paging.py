"""Lists in pages."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Iterable

from rele.emulator.rules.refusals import InvalidArgumentError

MAX_PAGE_SIZE = 1000
"""The most names on a page, whatever was requested, and the default."""


def page_of(names: Iterable[str], size: int, token: str) -> tuple[list[str], str]:
    """The names after ``token``, in order, and the token of the next page or an empty string.

    A token stands for the last name of its page, so that names may be added and removed between
    calls.
    Raises ``InvalidArgumentError`` for a negative size and for an invalid token.
    """
    if size < 0:
        raise InvalidArgumentError(f"page_size must not be negative, got {size}.")
    ordered = sorted(names)
    start = bisect_right(ordered, _last_name(token)) if token else 0
    end = start + min(size or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    page = ordered[start:end]
    return page, _token_after(page[-1]) if end < len(ordered) else ""


def _token_after(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode("ascii")


def _last_name(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error):
        raise InvalidArgumentError(f"page_token is not one of this server: {token!r}.") from None
