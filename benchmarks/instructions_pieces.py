"""Where the instructions of a published message go: its parts, by themselves.

They are not disjoint: handing over makes the future and the field of the request, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import rele
from rele.engine.native.publishing import wire
from rele.engine.native.publishing.future import PublishFuture
from rele.messages.codec import encode
from rele.messages.limits import check_attributes, check_ordering_key, check_topic
from rele.sending.publication import Publication

Piece = Callable[[], object]


def pieces(
    topic: str, data: dict[str, Any], attributes: dict[str, str], times: int
) -> Iterator[tuple[str, Piece]]:
    """Each part's name, and what does it for one message, so many ``times``."""
    publisher = rele.publishing.get_publisher()
    all_attributes = {**attributes, "published_at": "1764118800.1234567"}
    payload = encode(data)

    def prepare() -> Publication:
        return Publication(topic, data, attributes, publisher._outstanding)

    def check() -> None:
        check_topic(topic)
        check_ordering_key("")
        check_attributes(all_attributes)

    def settle() -> None:
        future = PublishFuture()
        future.settle("10000000000000000")
        future.conclude()

    publication = prepare()
    message: Any = publication.encode(json.JSONEncoder)
    yield "in the caller: the publication, with its attributes and the time", prepare
    yield "the hook before", publication.run_pre_publish
    yield "encoding, JSON and limits", lambda: publication.encode(json.JSONEncoder)
    yield "of this JSON", lambda: encode(data)
    yield "of this the limits", check
    yield (
        "handing over to the engine",
        lambda: publisher.backend.hand_over([message], [_ignore], timeout=1.0, at_once=False),
    )
    yield "of this the message as protobuf", lambda: wire.message_field(payload, all_attributes, "")
    yield "in the engine: the future, made, settled and concluded", settle
    ready = iter([prepare() for _ in range(times)])
    yield "in the engine: the hooks after", lambda: next(ready).conclude(None)


def _ignore(future: object) -> None:
    """Run no hooks."""
