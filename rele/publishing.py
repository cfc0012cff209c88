"""The process's one publisher, and the shortcut to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rele import config as configuration
from rele.exceptions import ConfigurationError
from rele.middleware import forget_middleware, register_middleware

if TYPE_CHECKING:
    from rele.backends import BaseBackend
    from rele.client import Publisher
    from rele.config import Config

_config: Config | None = None
_publisher: Publisher | None = None
_process_id: int | None = None
_stand_in: BaseBackend | None = None
_lock = threading.RLock()


def init_global_publisher(config: Config) -> None:
    """Let :func:`publish` use ``config``, whose publisher is made when something is published."""
    global _config, _publisher
    with _lock:
        _config = config
        _publisher = None


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
    return _get_publisher().publish(
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
    return _get_publisher().publish_many(
        topic, messages, blocking=blocking, timeout=timeout, raise_exception=raise_exception
    )


def configure() -> Config:
    """The configuration in use: what ``setup`` was given, else the project's settings.

    In the latter case its middleware is registered now.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
    """
    global _config
    with _lock:
        if _config is None:
            config = configuration.load()
            register_middleware(config)
            _config = config
        return _config


def flush(timeout: float | None = None) -> bool:
    """Send at once what was published in this process and wait until the hooks have run.

    Args:
        timeout: seconds; by default PUBLISHER_TIMEOUT.

    Returns:
        whether all of it was accepted by Pub/Sub in time.
    """
    publisher = _publisher
    if publisher is None or _process_id != os.getpid():
        return True
    if timeout is None and _config is not None:
        timeout = _config.publisher_timeout
    return publisher.flush(timeout)


def forget() -> None:
    """Send what is under way, then forget configuration, publisher and middleware."""
    global _config
    forget_publisher()
    with _lock:
        _config = None
    forget_middleware()


def forget_publisher() -> None:
    """Send what is under way; the next publish makes a publisher anew, for the environment then."""
    global _publisher
    flush()
    with _lock:
        _publisher = None


@contextmanager
def sent_through(backend: BaseBackend) -> Iterator[None]:
    """Within the block, hand what :func:`publish` publishes to ``backend``, for tests.

    That holds whatever is set up or forgotten in the block; without any settings it works as if
    ``RELE`` were empty.
    """
    global _stand_in, _publisher
    with _lock:
        before = _stand_in, _publisher
        _stand_in, _publisher = backend, None
    try:
        yield
    finally:
        with _lock:
            _stand_in, _publisher = before


def _get_publisher() -> Publisher:
    global _publisher, _process_id
    publisher = _publisher
    if publisher is not None and _process_id == os.getpid():
        return publisher
    with _lock:
        if _publisher is None or _process_id != os.getpid():
            _publisher = _make_publisher()
            _process_id = os.getpid()
        return _publisher


def _make_publisher() -> Publisher:
    from rele.client import Publisher

    try:
        config = configure()
    except ConfigurationError:
        if _stand_in is None:
            raise
        config = configuration.Config({})
    # The backend knows project and credentials, if it needs any: they may have to be looked up.
    return Publisher(
        gc_project_id=None,
        credentials=None,
        encoder=config.encoder,
        timeout=config.publisher_timeout,
        client_options=config.client_options,
        blocking=config.publisher_blocking,
        backend=_stand_in or config.make_publisher_backend(),
    )


def _renew_lock() -> None:
    """In a forked child, where the thread that held it does not exist."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)
