"""The configuration, the publisher and the middleware that this process uses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rele.runtime.publisher_in_use import PublisherInUse


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
        self.publisher: PublisherInUse[Any] | None = None
        self.backend: Any = None
        """For tests: the backend for all messages, instead of the configuration's backend."""
        self.read_settings: Callable[[], Mapping[str, Any]] | None = None
        """Reads the settings; ``None`` if they are read from a ``settings`` module."""
        self.read_configuration: Callable[[], Any] | None = None
        """Reads the configuration for the first hook, which registers its middleware if none is."""
        self.renew_locks()

    def renew_locks(self) -> None:
        """Replace the locks in a forked child, where the threads that held them do not exist."""
        self.lock = threading.RLock()
        # A second lock: it is held while a middleware is set up, and its setup may publish, which
        # takes `lock`, perhaps in another thread.
        self.registering = threading.RLock()

    @property
    def configuration(self) -> Any:
        """The configuration in use; ``None`` until one is given or read."""
        return self.given or self.of_project

    def use(self, configuration: Any) -> None:
        """Use ``configuration`` from now on.

        A publisher that was made for equal settings stays in use. Otherwise the former publisher
        sends its messages and is closed.
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
        """Return the publisher; make it now unless another thread has just made it.

        Args:
            configuration: its configuration, unless another thread has called :meth:`use` since.
            make: makes the publisher.
        """
        with self.lock:
            publisher = self.current_publisher()
            if publisher is None:
                publisher = self.publisher = make(self.given or configuration)
            return publisher

    def forget_publisher(self) -> None:
        """Send what is outstanding; the next publish makes a new publisher."""
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
        """Within the block, send all messages to ``backend``, through a publisher of its own."""
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
