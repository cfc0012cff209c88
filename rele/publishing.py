"""The process's one publisher, and the shortcut to it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from rele import config as configuration
from rele.middleware import forget_middleware, register_middleware

if TYPE_CHECKING:
    from rele.client import Publisher
    from rele.config import Config

_config: Config | None = None
_publisher: Publisher | None = None
_process_id: int | None = None
_lock = threading.RLock()


def init_global_publisher(config: Config) -> None:
    """Let :func:`publish` use ``config``, whose publisher is made when something is published."""
    global _config, _publisher
    with _lock:
        _config = config
        _publisher = None


def publish(topic: str, data: Any, **kwargs: Any) -> Future[str]:
    """Publish ``data`` to ``topic`` by the process's one publisher::

        import rele

        rele.publish(topic="lets-tell-everyone", data={"foo": "bar"}, myevent="arrival")

    The publisher is made at the first call, and again after a fork. See
    :meth:`rele.client.Publisher.publish` for ``blocking``, ``timeout``, ``raise_exception``, the
    future that is returned, and what is raised. All other ``kwargs`` are the message's attributes.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
    """
    return _get_publisher().publish(topic, data, **kwargs)


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
    global _config, _publisher
    flush()
    with _lock:
        _config = None
        _publisher = None
    forget_middleware()


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
    global _config
    from rele.client import Publisher

    if _config is None:
        config = configuration.load()
        register_middleware(config)
        _config = config
    # The backend knows project and credentials, if it needs any: they may have to be looked up.
    return Publisher(
        gc_project_id=None,
        credentials=None,
        encoder=_config.encoder,
        timeout=_config.publisher_timeout,
        client_options=_config.client_options,
        blocking=_config.publisher_blocking,
        backend=_config.make_publisher_backend(),
    )


def _renew_lock() -> None:
    """In a forked child, where the thread that held it does not exist."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)
