"""Asking before something is changed that cannot be undone."""

from __future__ import annotations

import sys

from rele.cli.style import is_terminal
from rele.exceptions import ReleError


def is_confirmed(question: str, *, yes: bool) -> bool:
    """Ask on the standard error, and return whether the answer is yes.

    Args:
        question: without a question mark.
        yes: whether an option has answered it.

    Raises:
        ReleError: there is nobody to ask.
    """
    if yes:
        return True
    if not is_terminal(sys.stdin):
        raise ReleError(f"{question}? Nobody can be asked here: confirm it with --yes.")
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
