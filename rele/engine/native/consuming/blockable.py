"""What a consumer has to know, and to say, when the loop of all consumers did not run."""

from __future__ import annotations

from rele.engine.native.consuming.consume_core import ConsumeCore


class BlockableConsumer:
    """One subscription, for :class:`rele.engine.native.consuming.pull_loop.PullLoop`.

    Args:
        name: the subscription's name.
        core: decides about it.
    """

    def __init__(self, name: str, core: ConsumeCore) -> None:
        self._name = name
        self._core = core

    @property
    def is_busy(self) -> bool:
        """Whether messages are outstanding."""
        return self._core.outstanding > 0

    def note_blocked(self, seconds: float) -> None:
        """Note that the loop did not run for the last ``seconds``."""
        self._core.note_blocked(seconds)

    def work_of(self, thread: int | None, at: float) -> str | None:
        """The message that ``thread`` handled at that time, for the log."""
        delivery = self._core.handed.of_thread(thread, at)
        if delivery is None:
            return None
        return f"the handler of {self._name}, with the message {delivery.message_id}"
