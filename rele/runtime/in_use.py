"""What this process has in use: its configuration, its publisher and its middleware."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rele.runtime.publisher_in_use import PublisherInUse


class InUse:
    """All that a process remembers from one call to the next, in one object: :data:`IN_USE`.

    The publisher belongs to one process and one configuration: a forked child makes another, and
    so does a process that is set up with other settings. The middleware stays after a fork.
    """

    def __init__(self) -> None:
        self.given: Any = None
        """The configuration that ``rele.setup`` was given."""
        self.of_project: Any = None
        """The one that was read from the project's settings, where none was given."""
        self.middleware: list[Any] | None = None
        """The instances whose hooks run; ``None`` until some are registered."""
        self.publisher: PublisherInUse[Any] | None = None
        self.backend: Any = None
        """Where every message goes instead of to the configuration's backend, for tests."""
        self.read_settings: Callable[[], Mapping[str, Any]] | None = None
        """How the settings are read, where it is not from a ``settings`` module."""
        self.read_configuration: Callable[[], Any] | None = None
        """What the first hook has its middleware from, where none is registered."""
        self.renew_locks()

    def renew_locks(self) -> None:
        """Needed in a forked child, where the threads that held them do not exist."""
        self.lock = threading.RLock()
        # Another one, since it is held while a middleware is set up, which may publish.
        self.registering = threading.RLock()

    @property
    def configuration(self) -> Any:
        """The configuration in use; ``None`` until one is given or read."""
        return self.given or self.of_project

    def use(self, configuration: Any) -> None:
        """Let ``configuration`` count from now on.

        A publisher that was made for equal settings stays in use. Any other sends what it has, and
        is closed.
        """
        with self.lock:
            self.given = configuration
            former = self.publisher
            if former is None or former.suits(configuration):
                return
            self.publisher = None
        former.retire()

    def current_publisher(self) -> PublisherInUse[Any] | None:
        """The publisher, if one was made in this process."""
        publisher = self.publisher
        return publisher if publisher is not None and publisher.belongs_here else None

    def make_publisher(
        self, configuration: Any, make: Callable[[Any], PublisherInUse[Any]]
    ) -> PublisherInUse[Any]:
        """The publisher, made now unless another thread has just made it.

        Args:
            configuration: what it is made for, unless another thread has called :meth:`use`.
            make: makes it.
        """
        with self.lock:
            publisher = self.current_publisher()
            if publisher is None:
                publisher = self.publisher = make(self.given or configuration)
            return publisher

    def forget_publisher(self) -> None:
        """Send what is outstanding; the next publish makes a publisher anew."""
        with self.lock:
            former, self.publisher = self.publisher, None
        if former is not None:
            former.retire()

    def forget(self) -> None:
        """Send what is outstanding, then forget configuration, publisher and middleware."""
        self.forget_publisher()
        with self.lock:
            self.given = self.of_project = None
        with self.registering:
            self.middleware = None

    @contextmanager
    def sending_to(self, backend: Any) -> Iterator[None]:
        """Within the block, let all messages go to ``backend``, by a publisher of its own."""
        with self.lock:
            backend_before, publisher_before = self.backend, self.publisher
            self.backend, self.publisher = backend, None
        try:
            yield
        finally:
            with self.lock:
                self.backend, self.publisher = backend_before, publisher_before
                configuration = self.configuration
            if publisher_before is not None and (
                configuration is None or not publisher_before.suits(configuration)
            ):
                self.forget_publisher()


IN_USE = InUse()

if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(after_in_child=IN_USE.renew_locks)
