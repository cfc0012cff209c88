"""Letting a process fork while it publishes and consumes.

gRPC prepares itself for a fork only where none of its calls is under way. Otherwise the child
shares the parent's sockets and their events with it: it sends the parent's messages, too, and may
crash. So no call is begun while the process forks, and a fork waits for those that are under way.
The loops of consumers end their streams and calls for it, and stand still until it is over.
"""

from __future__ import annotations

import _thread
import os
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from rele.engine.native.grpc_threads import are_idle
from rele.exceptions import ConfigurationError

_VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"
_NO = ("0", "f", "false", "n", "no")
"""The values that turn off gRPC's support for forks."""

LONGEST_WAIT = 1.0
"""Seconds after which a request is sent again, rather than let a fork wait for its answer."""

LONGEST_CANCELLATION = 0.5
"""Seconds that a fork waits until requests that were not answered are cancelled."""

LONGEST_END_OF_LOOP = 5.0
"""Seconds that a fork waits until a loop has ended its streams, which may be a thousand."""

LONGEST_SETTLING = 0.2
"""Seconds that a fork waits until gRPC's own threads are idle."""

_PAUSE = 0.001
"""Seconds between two checks. A lock would not do: a signal handler may fork at any moment."""


class AnyCalls(Protocol):
    """What makes calls: :class:`rele.engine.native.publishing.calls.Calls`."""

    @property
    def is_quiet(self) -> bool:
        """Whether gRPC has no call under way, and none of its threads waits for one."""
        ...

    def cancel(self, *, begun_before: float) -> None:
        """Cancel the calls that wait for a connection, and those begun before that time.

        Their requests are sent again. The time is one of ``time.monotonic()``.
        """
        ...


class AnyLoop(AnyCalls, Protocol):
    """What makes calls in a thread of its own.

    It is a :class:`rele.engine.native.consuming.pull_loop.PullLoop`.
    """

    thread_id: int | None
    """Its thread, which cannot wait for itself where it forks."""

    def leave(self) -> None:
        """In a child: do nothing from now on."""
        ...


class ForkGate:
    """Counts the threads that are amid a function of gRPC, and delays others during a fork.

    Args:
        longest_wait: seconds after which a fork waits no longer for the answer to a request.
    """

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest_wait = longest_wait
        self.is_of_child = False
        """Whether this process was forked from one that has made calls."""
        self.generation = 0
        """Another number in a child than in its parent."""
        self.is_amid_streams = False
        """Whether it was forked although streams were open: they could not be ended in time."""
        self._loops: weakref.WeakSet[AnyLoop] = weakref.WeakSet()
        self._has_streams = False
        self._left: list[AnyLoop] = []
        """The parent's loops, which must not be finalised."""
        self._renew()

    def _renew(self) -> None:
        self._forks: list[int] = []
        """The threads that fork, by their identity: one after the other, since gRPC's own threads
        begin anew after each fork."""
        self._inside: list[int] = []
        """The threads that are amid a function of gRPC, by their identity."""
        self._calls: weakref.WeakSet[AnyCalls] = weakref.WeakSet()

    def watch(self, calls: AnyCalls) -> None:
        """Let forks wait for ``calls``, too."""
        self._calls.add(calls)

    def watch_loop(self, loop: AnyLoop) -> None:
        """Let forks wait for ``loop``, too."""
        self._loops.add(loop)

    @property
    def is_closed(self) -> bool:
        """Whether the process forks, or is about to."""
        return bool(self._forks)

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Within the block no other thread forks, unless it takes longer than a fork waits."""
        me = _thread.get_ident()
        inside = self._inside  # in a child that is forked in the block, this is another one
        try:
            inside.append(me)
            while self._forks:
                inside.remove(me)
                time.sleep(_PAUSE)
                inside.append(me)
            yield
        finally:
            with suppress(ValueError):  # a signal has interrupted the first lines
                inside.remove(me)

    def close(self) -> None:
        """Let no call begin, and return when none is under way, or after the longest wait.

        Where Pub/Sub does not answer, calls may be under way for long: those are cancelled.
        """
        me = _thread.get_ident()
        self._forks.append(me)
        wait = LONGEST_END_OF_LOOP if self._loops else LONGEST_CANCELLATION
        deadline = time.monotonic() + self._longest_wait + wait
        while not self._may_fork(me) and (now := time.monotonic()) < deadline:
            # Again each time: a call may have begun at the moment of the fork.
            for calls in (*self._calls, *self._loops):
                calls.cancel(begun_before=now - self._longest_wait)
            time.sleep(_PAUSE)
        self._has_streams = not all(loop.is_quiet for loop in list(self._loops))
        if self._calls or self._loops:
            _settle()

    def open(self) -> None:
        """Let calls begin again."""
        with suppress(ValueError):  # the gate was registered while the process forked
            self._forks.remove(_thread.get_ident())

    def renew(self) -> None:
        """Begin anew in a child, where no thread is amid a call, and no call is its own."""
        self.generation += 1
        self.is_of_child = self.is_of_child or bool(self._calls) or bool(self._loops)
        self.is_amid_streams = self.is_amid_streams or self._has_streams
        for loop in list(self._loops):
            loop.leave()
            self._left.append(loop)
        self._loops = weakref.WeakSet()
        self._renew()

    def _may_fork(self, me: int) -> bool:
        if self._forks[0] != me or any(thread != me for thread in list(self._inside)):
            return False
        loops = (loop for loop in list(self._loops) if loop.thread_id != me)
        return all(calls.is_quiet for calls in (*self._calls, *loops))


def _settle() -> None:
    """Wait until gRPC's own threads were idle twice in a row, which is not for long."""
    deadline = time.monotonic() + LONGEST_SETTLING
    idle = 0
    while idle < 2 and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        idle = idle + 1 if are_idle() else 0


def check_child(environment: Mapping[str, str] = os.environ) -> None:
    """See that gRPC works in this process, which it would otherwise end with a signal.

    Raises:
        ConfigurationError: it does not.
    """
    setting = environment.get(_VARIABLE, "")
    if gate.is_of_child and setting.lower() in _NO:
        raise ConfigurationError(
            f"A process that is forked from one that has published cannot publish with "
            f"{_VARIABLE}={setting}, because gRPC does not work in it. Remove that variable."
        )
    if gate.is_amid_streams:
        raise ConfigurationError(
            "This process was forked from a worker whose streams could not be ended before, so "
            "gRPC does not work in it: it cannot publish or consume. Start it by "
            "multiprocessing.get_context('spawn'), or by subprocess."
        )


gate = ForkGate()


_registrations = [None, None]
"""Taken by the two calls of :func:`register` that have an effect."""


def register() -> None:
    """Let forks pass the gate: once this module is loaded, and again when a channel is open.

    gRPC registers functions of its own as it opens the first channel, if GRPC_ENABLE_FORK_SUPPORT
    is set. They stop its threads, so that a call that is under way does not end. Of all functions
    for the time before a fork, the one that was registered last is called first.
    """
    with suppress(IndexError):
        _registrations.pop()
        if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
            os.register_at_fork(
                before=gate.close, after_in_parent=gate.open, after_in_child=gate.renew
            )


register()
