"""Why a subscription did not run its handler, noted for whoever called the subscription."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing_extensions import Self

Skip = Literal["filtered", "duplicate"]
"""Why the handler of a message that succeeds is not run."""


class Skippable:
    """A call of a subscription: within the block it is the current one.

    Args:
        subscription: which is called.
    """

    __slots__ = ("_token", "skipped", "subscription")

    _token: Token[Skippable | None]

    def __init__(self, subscription: object) -> None:
        self.subscription = subscription
        self.skipped: Skip | None = None
        """Why the handler was not run; ``None`` where it was."""

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._token)


_current: ContextVar[Skippable | None] = ContextVar("rele_current_call", default=None)

begin_call = _current.set
"""Make a call the current one, for as long as the context of the caller lasts."""


def current_call() -> Skippable | None:
    """The innermost block that the caller is in."""
    return _current.get()


def note_skip(subscription: object, reason: Skip) -> None:
    """Note that ``subscription`` does not run its handler in the current call."""
    call = _current.get()
    # A handler may call another subscription, whose filters say nothing about the message.
    if call is not None and call.subscription is subscription:
        call.skipped = reason
