"""The process's publisher, and replacing it without losing what it is sending."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from rele.endpoint import emulator_named

logger = logging.getLogger(__name__)

# The other variables of the environment that Google's client and a Config read.
_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
)

_CHECK_SECONDS = 0.005
"""The interval at which a retired publisher checks whether its calls have ended."""


class _Publisher(Protocol):
    def close(self) -> None: ...


AnyPublisher = TypeVar("AnyPublisher", bound=_Publisher)


class _Configuration(Protocol):
    """The part of a configuration that this module reads."""

    @property
    def given(self) -> Mapping[str, Any]: ...
    @property
    def publisher_timeout(self) -> float: ...


class PublisherInUse(Generic[AnyPublisher]):
    """A publisher, its configuration, and its running calls.

    Args:
        publisher: the publisher.
        config: the configuration that the publisher was made from.
    """

    def __init__(self, publisher: AnyPublisher, config: _Configuration) -> None:
        self.publisher = publisher
        self.config = config
        self.calls: dict[object, None] = {}
        """The running calls. A call adds itself, then checks whether the publisher is retired.

        To add and to remove a call is one atomic step each: there is no lock that a signal handler
        could find held, and nothing that an exception of a signal could leave half done.
        """
        self.is_retired = False
        """Whether it accepts no more calls, so that another publisher must be used."""
        self._closers = [None]
        self._circumstances = _circumstances(config)
        self._process_id = os.getpid()

    @property
    def belongs_here(self) -> bool:
        """Whether this process made the publisher; False in a process that was forked later."""
        return self._process_id == os.getpid()

    def suits(self, config: _Configuration) -> bool:
        """Whether ``config`` would make an equal publisher, in this process and environment."""
        return self.belongs_here and self._circumstances == _circumstances(config)

    def retire(self) -> None:
        """Accept no more calls, send what is outstanding, then close.

        Waits as long as a blocking publish would wait. After that, closing continues in the
        background until Pub/Sub has accepted or refused the last message.
        """
        self.is_retired = True
        if not self.belongs_here:
            return
        thread = threading.Thread(target=self._close_when_done, name="rele-close", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter shuts down; its exit handler sends what is outstanding.
            return
        thread.join(self.config.publisher_timeout)

    def close(self) -> None:
        """Send what is outstanding and close, once."""
        try:
            self._closers.pop()
        except IndexError:
            return
        try:
            self.publisher.close()
        except Exception:
            logger.exception("The former publisher could not be closed.")

    def _close_when_done(self) -> None:
        while self.calls:
            time.sleep(_CHECK_SECONDS)
        self.close()


def _circumstances(config: _Configuration) -> Any:
    return config.given, emulator_named(), [os.environ.get(variable) for variable in _VARIABLES]
