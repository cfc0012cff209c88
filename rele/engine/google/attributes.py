"""Attributes whose names Google's publisher client takes for its own arguments.

The client takes attributes as keyword arguments, so one that is named ``retry`` would not be one.
Pub/Sub takes it. It goes through the client under a name that no attribute can have, and gets its
own again when its request is sent. The other name is never longer: with a longer one the client may
find the message too large, refuse it, and never send what comes after it of its ordering key.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain, count
from typing import Any
from weakref import WeakSet

from google.cloud.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PubsubMessage

from rele.engine.google.batches import is_google_client, wrap_requests

_restoring: WeakSet[Any] = WeakSet()
"""The clients that give such attributes their own names again."""


def as_arguments(client: Any, attributes: Mapping[str, str]) -> Mapping[str, str]:
    """The attributes as keyword arguments for the client's ``publish``."""
    if not is_google_client(client):
        return attributes
    stand_ins = _stand_ins()
    if stand_ins.keys().isdisjoint(attributes):
        return attributes
    if client not in _restoring:
        wrap_requests(client, _restore_names)
        _restoring.add(client)
    return {stand_ins.get(name, name): value for name, value in attributes.items()}


@cache
def _stand_ins() -> Mapping[str, str]:
    """For each argument of the client a name that no attribute has: empty, or with `goog` first.

    Pub/Sub keeps those for itself, and would refuse one if it ever got there.
    """
    parameters = inspect.signature(PublisherClient.publish).parameters.values()
    names = sorted((p.name for p in parameters if p.kind is not p.VAR_KEYWORD), key=len)
    return dict(zip(names, chain(("", "goog"), map("goog{:x}".format, count())), strict=False))


def _restore_names(send: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the client's call that sends a request."""

    def restore_and_send(*args: Any, messages: Any, **kwargs: Any) -> Any:
        for message in messages:
            attributes = PubsubMessage.pb(message).attributes
            for name, stand_in in _stand_ins().items():
                if stand_in in attributes:
                    attributes[name] = attributes.pop(stand_in)
        return send(*args, messages=messages, **kwargs)

    return restore_and_send
