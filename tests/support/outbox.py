"""Outboxes on databases of the tests' own, and what stands for Pub/Sub behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, ClassVar

from django.core.management import call_command
from django.db import connections
from django.db.utils import ConnectionHandler
from google.api_core.exceptions import InvalidArgument
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

import rele
from rele.backends import BaseBackend, Message
from rele.contrib.outbox.models import OutboxMessage, Relay, Shard
from rele.contrib.outbox.relaying.relay import OutboxRelay

ALIAS = "outbox"

REFUSED = InvalidArgument("refused")


class FakePubSub(BaseBackend):
    """Stands for Pub/Sub: each call of ``send`` is a request, which is refused as a whole."""

    last: ClassVar[FakePubSub]
    """The newest, for those that a configuration names."""

    def __init__(self, config: Any = None) -> None:
        FakePubSub.last = self
        self.requests: list[list[str]] = []
        self.accepted: list[Message] = []
        self.errors: dict[str, BaseException] = {}
        """Why a message is refused, by its data."""

    @property
    def data(self) -> list[str]:
        """What was accepted, in order."""
        return [message.data.decode() for message in self.accepted]

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        request = [message.data.decode() for message in messages]
        self.requests.append(request)
        errors = [self.errors[data] for data in request if data in self.errors]
        failed_keys: set[tuple[str, str]] = set()
        futures: list[Future[str]] = []
        for message in messages:
            future: Future[str] = Future()
            futures.append(future)
            key = (message.topic, message.ordering_key)
            if not errors:
                self.accepted.append(message)
                future.set_result("message")
            elif message.ordering_key and key in failed_keys:
                future.set_exception(PublishToPausedOrderingKeyException(message.ordering_key))
            else:
                failed_keys.add(key)
                future.set_exception(errors[0])
        return futures


def filled_in(database: dict[str, Any]) -> dict[str, Any]:
    """Django's settings of a database, with what is not given filled in."""
    if database["ENGINE"].endswith("mysql"):
        # Django 4.2 would use a character set of at most three bytes for each.
        database = {**database, "OPTIONS": {"charset": "utf8mb4", **database.get("OPTIONS", {})}}
    handler = ConnectionHandler({"default": {}, ALIAS: database})
    filled: dict[str, Any] = handler.settings[ALIAS]
    return filled


def installed(database: dict[str, Any], django_db_blocker: Any) -> Iterator[None]:
    """Have the outbox on an empty ``database``, for a fixture."""
    with django_db_blocker.unblock():
        connections.settings[ALIAS] = database
        call_command("migrate", "rele_outbox", database=ALIAS, verbosity=0)
        for model in (OutboxMessage, Relay, Shard):
            model.objects.using(ALIAS).all().delete()
        rele.setup({"PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend", "MIDDLEWARE": [],
                    "OUTBOX": {"USING": ALIAS}})  # fmt: skip
        try:
            yield
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]


class InThread:
    """Runs a function in a thread, whose connections are closed at its end."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, seconds: float = 20) -> None:
        """Wait for its end; raise what it has raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - raised by join()
            self._error = error
        finally:
            connections.close_all()


@contextmanager
def running(relay: OutboxRelay) -> Iterator[None]:
    """The relay runs in a thread until the block ends."""
    thread = InThread(relay.run)
    try:
        yield
    finally:
        relay.stop()
        thread.join()


@contextmanager
def connected(**changes: Any) -> Iterator[None]:
    """Other threads' connections have these settings."""
    settings = connections.settings[ALIAS]
    connections.settings[ALIAS] = {**settings, **changes}
    try:
        yield
    finally:
        connections.settings[ALIAS] = settings


def waiting() -> list[OutboxMessage]:
    """All messages of the outbox, in the order in which they were written."""
    return list(OutboxMessage.objects.using(ALIAS).order_by("id"))


def make_due() -> None:
    """Let the time of every next attempt come."""
    messages = OutboxMessage.objects.using(ALIAS).order_by("id")
    first = messages.values_list("created_at", flat=True)[0]
    messages.update(next_attempt_at=first)
