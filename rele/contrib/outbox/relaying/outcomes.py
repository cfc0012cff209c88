"""Running the hooks when a message was sent or is parked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rele.contrib.outbox.relaying.payloads import Payload
from rele.exceptions import DecodeError
from rele.management.databases import renew_connections, renew_failed_connections
from rele.messages.codec import decode
from rele.runtime.own_records import silent
from rele.sending import publication


@contextmanager
def with_fresh_connections(alias: str) -> Iterator[None]:
    """Renew the hooks' connections before and after the block, as for a request.

    Args:
        alias: of the outbox's database, whose connection belongs to the relay.
    """
    renew_connections(keep=(alias,))
    try:
        yield
    finally:
        renew_connections(keep=(alias,))


def run_success_hooks(messages: Iterable[Payload], between: Callable[[], object]) -> None:
    """Run the hooks that a publisher runs when Pub/Sub has accepted a message.

    Args:
        messages: those that were accepted.
        between: is called after those of each message.
    """
    if not publication.has_success_hooks():
        return
    for message in messages:
        with silent(message.is_caused_by_record):
            publication.run_success_hooks(message.topic, _data_of(message), message.sent_attributes)
        renew_failed_connections()
        between()


def run_failure_hooks(
    parked: Iterable[tuple[Payload, BaseException]], between: Callable[[], object]
) -> None:
    """Run the hooks that a publisher runs when publishing has failed.

    Args:
        parked: the messages, and why each was refused.
        between: is called after those of each message.
    """
    for message, error in parked:
        with silent(message.is_caused_by_record):
            publication.run_failure_hook(
                message.topic, error, _data_of(message), message.sent_attributes
            )
        renew_failed_connections()
        between()


def _data_of(message: Payload) -> object:
    """The data that was published, or its bytes if the project's encoder makes no plain JSON."""
    try:
        return decode(bytes(message.data))
    except DecodeError:
        return bytes(message.data)
