"""The configuration, the publisher and the middleware that this process uses."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from rele.runtime.publisher_in_use import PublisherInUse

_CHECK_SECONDS = 0.005
"""The interval at which a thread checks whether another has made the publisher."""

_LONGEST_MAKING = 5.0
"""Seconds after which a thread that waits makes a publisher, too: the first may be waiting for this
thread, for example for the import of a module."""


class InUse:
    """The state that a process keeps from one call to the next, in one object: :data:`IN_USE`.

    The publisher belongs to one process and one configuration: a forked child makes a new
    publisher, and so does a process that is set up with other settings. The middleware is kept
    after a fork.
    """

    def __init__(self) -> None:
        self.given: Any = None
        """The configuration that ``rele.setup`` was given."""
        self.of_project: Any = None
        """The configuration read from the project's settings, if none was given."""
        self.middleware: list[Any] | None = None
        """The instances whose hooks run; ``None`` until some are registered."""
        self.own_hooks: list[Any] = []
        """Objects of Relé's own whose hooks run, too, whichever middleware is registered."""
        self.trace_id: Callable[[], str] = str
        """Returns the id of the trace that its caller is part of; empty if it is part of none."""
        self._slot = _Slot()
        self.backend: Any = None
        """For tests: the backend for all messages, instead of the configuration's backend."""
        self.read_settings: Callable[[], Mapping[str, Any]] | None = None
        """Reads the settings; ``None`` if they are read from a ``settings`` module."""
        self.read_configuration: Callable[[], Any] | None = None
        """Reads the configuration for the first hook, which registers its middleware if none is."""
        self.renew_locks()

    def renew_locks(self) -> None:
        """Replace the locks in a forked child, where the threads that held them do not exist."""
        self._slot.makers.clear()
        self.lock = threading.RLock()
        # A second lock: it is held while a middleware is set up, and its setup may publish, which
        # takes `lock`, perhaps in another thread.
        self.registering = threading.RLock()

    def add_own_hooks(self, hooks: object) -> None:
        """Let the hooks of ``hooks`` run after those of the middleware, whichever is registered."""
        with self.registering:
            self.own_hooks.append(hooks)
            if self.middleware is not None:
                self.middleware = [*self.middleware, hooks]

    @property
    def configuration(self) -> Any:
        """The configuration in use; ``None`` until one is given or read."""
        return self.given or self.of_project

    def use(self, configuration: Any) -> None:
        """Use ``configuration`` from now on.

        A publisher that was made for equal settings stays in use. Otherwise the former publisher
        sends its messages and is closed.
        """
        self.given = configuration
        former = self._slot.publisher
        if former is not None and not former.suits(configuration):
            self.forget_publisher()

    def current_publisher(self) -> PublisherInUse[Any] | None:
        """The publisher, if one was made in this process."""
        publisher = self._slot.publisher
        return publisher if publisher is not None and publisher.belongs_here else None

    def make_publisher(
        self, configuration: Any, make: Callable[[Any], PublisherInUse[Any]]
    ) -> PublisherInUse[Any]:
        """Return the publisher; make it now unless another thread makes it.

        No lock is held meanwhile, because a signal handler that interrupts this may publish, too.

        Args:
            configuration: its configuration, unless another thread has called :meth:`use` since.
            make: makes the publisher.
        """
        while True:
            slot = self._slot
            if slot.publisher is not None and not slot.publisher.belongs_here:
                self._slot = slot = _Slot()
            given = self.given
            publisher = slot.fill(partial(make, given or configuration))
            is_given = self.given is given or publisher.suits(self.given or configuration)
            if self._slot is slot and is_given:
                return publisher
            # Another thread has called use() or forget_publisher() and has not seen this publisher.
            if self._slot is slot:
                self._slot = _Slot()
            publisher.retire()

    def forget_publisher(self) -> None:
        """Send what is outstanding; the next publish makes a new publisher."""
        former, self._slot = self._slot.publisher, _Slot()
        if former is not None:
            former.retire()

    def forget(self) -> None:
        """Send what is outstanding, then forget configuration, publisher and middleware."""
        self.forget_publisher()
        self.given = self.of_project = None
        with self.registering:
            self.middleware = None
            self.own_hooks.clear()
            self.trace_id = str

    @contextmanager
    def sending_to(self, backend: Any) -> Iterator[None]:
        """Within the block, send all messages to ``backend``, through a publisher of its own."""
        backend_before, slot_before = self.backend, self._slot
        self.backend, self._slot = backend, _Slot()
        try:
            yield
        finally:
            self.backend, self._slot = backend_before, slot_before
            publisher, configuration = slot_before.publisher, self.configuration
            if publisher is not None and (
                configuration is None or not publisher.suits(configuration)
            ):
                self.forget_publisher()


class _Slot:
    """Has room for one publisher, which is made by the first thread that needs it."""

    def __init__(self) -> None:
        self._publishers: dict[str, PublisherInUse[Any]] = {}
        self.makers: dict[str, tuple[int, float]] = {}
        """The thread that makes the publisher, and since when. ``setdefault`` checks and
        sets an entry of a dict in one atomic step."""

    @property
    def publisher(self) -> PublisherInUse[Any] | None:
        """The publisher, once it is made."""
        return self._publishers.get("first")

    def fill(self, make: Callable[[], PublisherInUse[Any]]) -> PublisherInUse[Any]:
        """Return the publisher; make it, or wait for the thread that makes it.

        A signal handler that interrupts its making makes another, and so does a thread that has
        waited for long. The one that is finished first is used.
        """
        me = threading.get_ident(), time.monotonic()
        while self.publisher is None:
            maker, since = self.makers.setdefault("first", me)
            if maker == me[0] or time.monotonic() - since > _LONGEST_MAKING:
                try:
                    self._put(make())
                finally:
                    self.makers.pop("first", None)
            else:
                time.sleep(_CHECK_SECONDS)
        return self.publisher

    def _put(self, made: PublisherInUse[Any]) -> None:
        if self._publishers.setdefault("first", made) is not made:
            made.close()


IN_USE = InUse()

if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(after_in_child=IN_USE.renew_locks)
