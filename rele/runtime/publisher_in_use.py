"""The process's publisher, and replacing it without losing what it is sending."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from rele.endpoint import emulator_named

logger = logging.getLogger(__name__)

# What Google's client and a Config read beside the settings and the emulator's address.
_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
)


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
    """A publisher, what it was made for, and how many calls of it are running.

    Args:
        publisher: the publisher.
        config: what it was made from.
    """

    def __init__(self, publisher: AnyPublisher, config: _Configuration) -> None:
        self.publisher = publisher
        self.config = config
        self._circumstances = _circumstances(config)
        self._process_id = os.getpid()
        self._calls = 0
        self._is_retired = False
        self._changed = threading.Condition()

    @property
    def belongs_here(self) -> bool:
        """Whether this is the process that made it, and none that was forked off."""
        return self._process_id == os.getpid()

    def suits(self, config: _Configuration) -> bool:
        """Whether ``config`` would make another publisher like this one, in this process."""
        return self.belongs_here and self._circumstances == _circumstances(config)

    def enter(self) -> bool:
        """Begin a call, unless the publisher is retired: then there is another one."""
        with self._changed:
            if not self._is_retired:
                self._calls += 1
            return not self._is_retired

    def leave(self) -> None:
        """End a call."""
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    def retire(self) -> None:
        """Take no call any more, send what is outstanding, then close.

        That is waited for as long as a blocking publish would wait. Whatever takes longer goes on
        in the background, until Pub/Sub has accepted or refused the last message.
        """
        with self._changed:
            self._is_retired = True
        if not self.belongs_here:
            return
        thread = threading.Thread(target=self._close_when_done, name="rele-close", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter shuts down, which sends what is outstanding, too
            return
        thread.join(self.config.publisher_timeout)

    def _close_when_done(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._calls)
        try:
            self.publisher.close()
        except Exception:
            logger.exception("The former publisher could not be closed.")


def _circumstances(config: _Configuration) -> Any:
    return config.given, emulator_named(), [os.environ.get(variable) for variable in _VARIABLES]
