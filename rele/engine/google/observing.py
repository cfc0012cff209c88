"""What observers learn of the requests of Google's clients: only where there are any.

Google's subscriber client knows in its requests only the ack ids of messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from google.api_core.exceptions import GoogleAPICallError

from rele.status.observers import (
    OBSERVERS,
    ObservedMessage,
    PublishRequest,
    SettlementKind,
    SettlementRequest,
)


@dataclass(frozen=True)
class SettledDelivery:
    """A message of which only the ack id is known."""

    ack_id: str
    message_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""
    delivery_attempt: int | None = None


def observe_publishing(publish: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the function that sends the requests of a publisher client."""

    def observed(*args: Any, topic: str, messages: Sequence[Any], **kwargs: Any) -> Any:
        with observed_publish(topic, messages):
            return publish(*args, topic=topic, messages=messages, **kwargs)

    return observed


@contextmanager
def observed_publish(topic: str, messages: Sequence[ObservedMessage]) -> Iterator[None]:
    """Within the block a request to publish is made, which observers learn of.

    Args:
        topic: ``projects/PROJECT/topics/TOPIC``.
        messages: what it contains.
    """
    if not OBSERVERS:
        yield
        return
    started, began = time.time(), time.monotonic()
    error: BaseException | None = None
    try:
        yield
    except Exception as failure:
        error = failure
        raise
    finally:
        seconds = time.monotonic() - began
        OBSERVERS.note_publish_request(PublishRequest(topic, messages, started, seconds, error))


def observe_settling(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``acknowledge`` or ``modify_ack_deadline`` of a subscriber client."""

    @wraps(method)
    def observed(*args: Any, **kwargs: Any) -> Any:
        if not OBSERVERS or "ack_ids" not in kwargs:
            return method(*args, **kwargs)
        started, began = time.time(), time.monotonic()
        error: str | None = None
        try:
            return method(*args, **kwargs)
        except Exception as failure:
            error = _text(failure)
            raise
        finally:
            _note_settled(kwargs, started, time.monotonic() - began, error)

    return observed


def _note_settled(
    request: Mapping[str, Any], started: float, seconds: float, error: str | None
) -> None:
    deadline = request.get("ack_deadline_seconds")
    deliveries = [SettledDelivery(ack_id) for ack_id in request["ack_ids"]]
    kind: SettlementKind = "ack" if deadline is None else "modack" if deadline else "nack"
    OBSERVERS.note_settlement_request(
        SettlementRequest(
            request["subscription"], kind, deliveries, started, seconds, error, deadline
        )
    )


def _text(error: Exception) -> str:
    if isinstance(error, GoogleAPICallError) and error.grpc_status_code is not None:
        return f"{error.grpc_status_code.name}: {error.message}"
    return repr(error)
