"""Whether a server answers that accepts no stream."""

from __future__ import annotations

from rele.engine.native.consuming import pull_calls
from rele.engine.native.consuming.pull_loop import PullLoop

ASKED_AFTER = 60.0
"""Seconds for which streams are refused before the server is asked, and then between two times."""

_TIMEOUT = 5.0


class Inquiry:
    """Makes a call without effect while the streams of a subscription are refused. In the loop.

    A process whose streams are refused may have no other call to make. So it could not tell an
    outage, which passes, from a fault of its own, which a restart mends.

    Args:
        path: ``projects/PROJECT/subscriptions/NAME``.
        headers: what is sent before.
        loop: where the call is made; its connections note when the server has answered.
    """

    def __init__(self, path: str, headers: tuple[tuple[str, str], ...], loop: PullLoop) -> None:
        self._path = path
        self._headers = headers
        self._loop = loop
        self._next_at: float | None = None

    def note_refused(self) -> None:
        """Note that another stream was refused."""
        now = self._loop.now()
        if self._next_at is None:
            self._next_at = now + ASKED_AFTER
        elif now >= self._next_at:
            self._next_at = now + ASKED_AFTER
            self._loop.begin(self._ask())

    def end(self) -> None:
        """Note that a stream was accepted."""
        self._next_at = None

    async def _ask(self) -> None:
        request = pull_calls.extension_of_nothing(self._path)
        method = pull_calls.MODIFY_ACK_DEADLINE
        await self._loop.connections.ask(method, request, self._headers, _TIMEOUT)
