"""Attributes whose names Google's publisher client takes for its own arguments.

The client takes attributes as keyword arguments, so it would take an attribute named ``retry`` for
its own argument, although Pub/Sub accepts this name. Such an attribute passes through the client
under a stand-in name that no attribute can have, and gets its own name back when its request is
sent. The stand-in is never longer than the name: otherwise the client might find the message too
large, refuse it, and never send the later messages of its ordering key.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain, count
from typing import Any
from weakref import WeakSet

# From its own module, because tests of projects replace the name in `pubsub_v1`.
from google.cloud.pubsub_v1.publisher.client import Client as PublisherClient
from google.pubsub_v1.types import PubsubMessage

from rele.engine.google.batches import is_google_client, wrap_requests

_restoring: WeakSet[Any] = WeakSet()
"""The clients that restore the names of such attributes."""


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
    """The stand-in name for each argument of the client: empty, or beginning with `goog`.

    Pub/Sub reserves these names, and would refuse a stand-in that was not replaced.
    """
    parameters = inspect.signature(PublisherClient.publish).parameters.values()
    names = sorted((p.name for p in parameters if p.kind is not p.VAR_KEYWORD), key=len)
    return dict(zip(names, chain(("", "goog"), map("goog{:x}".format, count())), strict=False))


def _restore_names(send: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the client's function that sends a request, so that it restores the names."""

    def restore_and_send(*args: Any, messages: Any, **kwargs: Any) -> Any:
        for message in messages:
            attributes = PubsubMessage.pb(message).attributes
            for name, stand_in in _stand_ins().items():
                if stand_in in attributes:
                    attributes[name] = attributes.pop(stand_in)
        return send(*args, messages=messages, **kwargs)

    return restore_and_send
