"""The process's one publisher, and the shortcut to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rele import config as configuration
from rele import middleware
from rele.exceptions import ConfigurationError
from rele.runtime.publisher_in_use import PublisherInUse
from rele.sending.publisher import Publisher

if TYPE_CHECKING:
    from rele.backends import BaseBackend
    from rele.config import Config

_config: Config | None = None
"""What was given."""
_config_of_project: Config | None = None
"""What was read where nothing was given."""
_in_use: PublisherInUse | None = None
_stand_in: BaseBackend | None = None
_lock = threading.RLock()


def init_global_publisher(config: Config) -> None:
    """Let :func:`publish` use ``config``, whose publisher is made when something is published.

    A publisher that was made for equal settings stays in use. Any other sends what it has, and is
    closed.
    """
    global _config, _in_use
    with _lock:
        _config = config
        former = _in_use
        if former is None or former.suits(config):
            return
        _in_use = None
    former.retire()


def publish(
    topic: str,
    data: Any,
    *,
    blocking: bool | None = None,
    timeout: float | None = None,
    raise_exception: bool = True,
    **kwargs: str,
) -> Future[str]:
    """Publish ``data`` to ``topic`` by the process's one publisher::

        import rele

        rele.publish(topic="lets-tell-everyone", data={"foo": "bar"}, myevent="arrival")

    The publisher is made at the first call, and again after a fork.

    Args:
        topic: the topic's id, without the project.
        data: whatever the encoder takes.
        blocking: wait until Pub/Sub has accepted the message; ``None``: as PUBLISHER_BLOCKING says.
        timeout: seconds to wait if so; ``None``: as PUBLISHER_TIMEOUT says.
        raise_exception: whether a failure is raised here, or only reported to the hook and by the
            future.
        kwargs: the message's attributes; ``ordering_key`` becomes its ordering key.

    Returns:
        a future of the message id.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
        what :meth:`rele.client.Publisher.publish` raises.
    """
    with _call() as publisher:
        return publisher.publish(
            topic,
            data,
            blocking=blocking,
            timeout=timeout,
            raise_exception=raise_exception,
            **kwargs,
        )


def publish_many(
    topic: str,
    messages: Iterable[Any],
    *,
    blocking: bool | None = None,
    timeout: float | None = None,
    raise_exception: bool = True,
) -> list[Future[str]]:
    """Publish several messages to ``topic`` together::

        rele.publish_many("order-paid", [{"id": 42}, ({"id": 43}, {"country": "ES"})])

    Args:
        topic: the topic's id, without the project.
        messages: for each its data, or a tuple of data and attributes (a mapping).
        blocking, timeout, raise_exception: as for :func:`publish`; the timeout is that of all
            together.

    Returns:
        a future of the message id for each, in their order.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
        what :meth:`rele.client.Publisher.publish_many` raises.
    """
    with _call() as publisher:
        return publisher.publish_many(
            topic, messages, blocking=blocking, timeout=timeout, raise_exception=raise_exception
        )


def configure() -> Config:
    """The configuration in use: what ``setup`` was given, else the project's settings.

    In the latter case their middleware is registered now, unless some is already.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
    """
    if _config is None:
        middleware.register_first(read_project)
    # Not under a lock that publishing needs: what a middleware's setup starts may publish.
    return _config or read_project()


def read_project() -> Config:
    """The configuration of the project's settings, which are read once.

    Raises:
        ConfigurationError: there are none.
    """
    global _config_of_project
    with _lock:
        if _config_of_project is None:
            _config_of_project = configuration.load()
        return _config_of_project


def flush(timeout: float | None = None) -> bool:
    """Send at once what was published in this process and wait until the hooks have run.

    Args:
        timeout: seconds; by default PUBLISHER_TIMEOUT.

    Returns:
        whether all of it was accepted by Pub/Sub in time.
    """
    in_use = _in_use
    if in_use is None or not in_use.belongs_here:
        return True
    return in_use.publisher.flush(in_use.config.publisher_timeout if timeout is None else timeout)


def forget() -> None:
    """Send what is under way, then forget configuration, publisher and middleware."""
    global _config, _config_of_project
    forget_publisher()
    with _lock:
        _config = _config_of_project = None
    middleware.forget_middleware()


def forget_publisher() -> None:
    """Send what is under way; the next publish makes a publisher anew, for the environment then."""
    global _in_use
    with _lock:
        former, _in_use = _in_use, None
    if former is not None:
        former.retire()


@contextmanager
def sent_through(backend: BaseBackend) -> Iterator[None]:
    """Within the block, hand what :func:`publish` publishes to ``backend``, for tests.

    That holds whatever is set up or forgotten in the block; without any settings it works as if
    ``RELE`` were empty.
    """
    global _stand_in, _in_use
    with _lock:
        stand_in_before, before = _stand_in, _in_use
        _stand_in, _in_use = backend, None
    try:
        yield
    finally:
        with _lock:
            _stand_in, _in_use = stand_in_before, before
            config = _config or _config_of_project
        if before is not None and (config is None or not before.suits(config)):
            forget_publisher()


@contextmanager
def _call() -> Iterator[Publisher]:
    """The publisher, which nobody closes within the block."""
    in_use = _get_in_use()
    while not in_use.enter():  # another thread has called setup() just now
        in_use = _get_in_use()
    try:
        yield in_use.publisher
    finally:
        in_use.leave()


def _get_publisher() -> Publisher:
    return _get_in_use().publisher


def _get_in_use() -> PublisherInUse:
    global _in_use
    in_use = _in_use
    if in_use is not None and in_use.belongs_here:
        return in_use
    config = _configure_if_possible()
    with _lock:
        if _in_use is None or not _in_use.belongs_here:
            # Another thread may have called setup() since.
            _in_use = _make(_config or config)
        return _in_use


def _configure_if_possible() -> Config:
    try:
        return configure()
    except ConfigurationError:
        if _stand_in is None:
            raise
        return configuration.Config({})


def _make(config: Config) -> PublisherInUse:
    publisher = Publisher(
        _stand_in or config.make_publisher_backend(),
        config.encoder,
        config.publisher_timeout,
        config.publisher_blocking,
    )
    return PublisherInUse(publisher, config)


def _renew_lock() -> None:
    """In a forked child, where the thread that held it does not exist."""
    global _lock
    _lock = threading.RLock()
    middleware.renew_lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(after_in_child=_renew_lock)
