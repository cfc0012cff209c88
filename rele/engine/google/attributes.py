"""Attributes whose names Google's publisher client takes for its own arguments.

The client takes attributes as keyword arguments, so one that is named ``retry`` would not be one.
Pub/Sub takes it. It goes through the client under a name that no attribute can have, and gets its
own again when its request is sent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from weakref import WeakSet

from google.cloud.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PubsubMessage

from rele.engine.google.batches import is_google_client, wrap_requests

# Pub/Sub keeps names that begin with `goog` for itself, and would refuse it if it ever got there.
_PREFIX = "googrele:"

_restoring: WeakSet[Any] = WeakSet()
"""The clients that give such attributes their own names again."""


def as_arguments(client: Any, attributes: Mapping[str, str]) -> Mapping[str, str]:
    """The attributes as keyword arguments for the client's ``publish``."""
    if not is_google_client(client):
        return attributes
    taken = _argument_names() & attributes.keys()
    if not taken:
        return attributes
    if client not in _restoring:
        wrap_requests(client, _restore_names)
        _restoring.add(client)
    return {f"{_PREFIX}{k}" if k in taken else k: value for k, value in attributes.items()}


@cache
def _argument_names() -> frozenset[str]:
    parameters = inspect.signature(PublisherClient.publish).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)


def _restore_names(send: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the client's call that sends a request."""

    def restore_and_send(*args: Any, messages: Any, **kwargs: Any) -> Any:
        for message in messages:
            attributes = PubsubMessage.pb(message).attributes
            for name in [name for name in attributes if name.startswith(_PREFIX)]:
                attributes[name.removeprefix(_PREFIX)] = attributes.pop(name)
        return send(*args, messages=messages, **kwargs)

    return restore_and_send
