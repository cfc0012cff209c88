"""The embedded server's core behind a simulated network: one subscription of one server.

Like ``rele/emulator/rpc``, it is a thin driver: ``rele/emulator/delivery`` decides which message is
delivered to whom, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.emulator.delivery.consumers import Consumer, FlowControl
from rele.emulator.delivery.dead_letters import DeadLetters
from rele.emulator.delivery.delivery import Delivery as Leased
from rele.emulator.delivery.ledger import Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.rpc import acknowledging
from rele.emulator.rules import limits
from rele.emulator.rules.refusals import AckIdsError, InvalidArgumentError, ServiceError
from tests.simulation.clockwork import Clockwork, Timer
from tests.simulation.network import Link, Pipe
from tests.support.history import History

MOST_IN_A_RESPONSE = 1000
MOST_BYTES_IN_A_RESPONSE = 3 * 2**20

Refused = Mapping[str, str]


@dataclass(frozen=True)
class ServerOptions:
    """How the subscription is configured, and what the server is able to do."""

    is_ordered: bool = False
    is_exactly_once: bool = False
    max_attempts: int | None = None
    """Of the dead-letter policy; ``None`` without one."""
    backoff: Backoff = NO_BACKOFF
    answers_pings: bool = True
    respects_limits: bool = True
    """Whether it observes ``max_outstanding_messages``; Google's emulator does not."""


@dataclass(frozen=True)
class Received:
    """A message as it is received on a stream."""

    number: int
    key: str
    size: int
    ack_id: str
    attempt: int | None


class ServerStream:
    """One streaming pull, at the server's end."""

    def __init__(
        self,
        server: Server,
        worker: str,
        link: Link,
        limit: int,
        ack_deadline: float,
        on_received: Callable[[list[Received]], None],
        on_ended: Callable[[str | None], None],
    ) -> None:
        self.worker = worker
        self.link = link
        self.to_client = Pipe(link)
        self.to_server = Pipe(link)
        self.is_half_closed = False
        self.is_open = False
        self.is_over = False
        self._server = server
        self._is_woken = False
        self._on_received = on_received
        self._on_ended = on_ended
        flow = FlowControl(limit if server.options.respects_limits else 0)
        self.consumer = Consumer(flow, ack_deadline, self.wake, lambda reason: None)

    def wake(self) -> None:
        """Write soon."""
        if not self._is_woken:
            self._is_woken = True
            self._server.clockwork.after(0.0, self._write)

    def answer_ping(self) -> None:
        """Answer a keepalive, if this server does."""
        if self.is_open and self._server.options.answers_pings:
            self.to_client.send(self._on_received, [])

    def half_close(self) -> None:
        """Write nothing more, and end."""
        if self.is_open:
            self.is_half_closed = True
            self._server.end_stream(self, None)

    def send_end(self, error: str | None) -> None:
        """Tell the client that it is over; ``None`` stands for OK."""
        self.to_client.send(self._on_ended, error)

    def _write(self) -> None:
        self._is_woken = False
        if not self.is_open:
            return
        batch = self._server.take(self)
        if batch:
            self.to_client.send(self._on_received, batch)
            self.wake()


class _Kept(Ledger):
    """What outlives the server's process, and what is said about leases on the way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.messages: dict[int, StoredMessage] = {}
        self.attempts: dict[int, int] = {}

    def published(self, messages: Sequence[StoredMessage]) -> None:
        self.messages.update((message.id, message) for message in messages)

    def removed(self, message_ids: Iterable[int]) -> None:
        for number in message_ids:
            self.messages.pop(number, None)
            self.attempts.pop(number, None)

    def attempted(self, message_id: int, attempt: int) -> None:
        self.attempts[message_id] = attempt
        self._server.note_failed(message_id)


class Server:
    """A server with one subscription.

    Args:
        clockwork: the time.
        history: where it notes what happens.
        options: how the subscription is configured.
    """

    def __init__(self, clockwork: Clockwork, history: History, options: ServerOptions) -> None:
        self.clockwork = clockwork
        self.options = options
        self.is_up = True
        self.streams: list[ServerStream] = []
        self.dead_letters: list[int] = []
        self._history = history
        self._starts = 0
        self._timer: Timer | None = None
        self._cause = ""
        self._leases: dict[int, tuple[str, str, ServerStream]] = {}
        """The last lease of each message: ack id, worker, stream."""
        self._kept = _Kept(self)
        self._backlog = self._new_backlog()

    # Its process.

    def die(self, *, is_emptied: bool) -> None:
        """End without a word; what was published is gone if the disk is, too."""
        self.is_up = False
        for stream in self.streams[:]:
            self.end_stream(stream, "UNAVAILABLE: the server has died")
        self._cancel_timer()
        if is_emptied:
            for number in [*self._kept.messages]:
                self._note("forgotten", number)
            self._kept.messages.clear()
            self._kept.attempts.clear()
        self._leases.clear()

    def start(self) -> None:
        """Start again with what was kept."""
        self.is_up = True
        self._backlog = self._new_backlog()
        kept = sorted(self._kept.messages.values(), key=lambda message: message.id)
        self._backlog.restore(kept, dict(self._kept.attempts))

    def seek(self) -> None:
        """Make every ack id void: what is not acknowledged is delivered anew."""
        self._backlog.replace(self._backlog.redeliverable())
        self._leases.clear()

    # What it is asked.

    def publish(self, message: StoredMessage) -> None:
        """Accept a message."""
        self._note("accepted", message.id)
        self._backlog.publish([message])

    def open_stream(self, stream: ServerStream) -> None:
        """Deliver on ``stream`` from now on."""
        if stream.is_over:  # the client has given up meanwhile
            return
        if not self.is_up:
            stream.is_over = True
            stream.send_end("UNAVAILABLE: the server is down")
            return
        stream.is_open = True
        self.streams.append(stream)
        self._backlog.attach(stream.consumer)
        stream.wake()

    def end_stream(self, stream: ServerStream, error: str | None) -> None:
        """End a stream with a status, of which the client gets to know."""
        if stream.is_open:
            self._drop(stream)
            stream.send_end(error)

    def lose_stream(self, stream: ServerStream) -> None:
        """End a stream whose client is gone."""
        stream.is_over = True
        if stream.is_open:
            self._drop(stream)

    def take(self, stream: ServerStream) -> list[Received]:
        """Lease messages for one response of ``stream``."""
        batch = self._backlog.take(stream.consumer, MOST_IN_A_RESPONSE, MOST_BYTES_IN_A_RESPONSE)
        return [self._received(leased, stream) for leased in batch]

    def acknowledge(self, ack_ids: Sequence[str]) -> tuple[str | None, Refused]:
        """An Acknowledge; returns the error, or why single ids are refused."""
        before = set(self._kept.messages)
        answer = self._answer(lambda: acknowledging.acknowledge(self._backlog, ack_ids), ack_ids)
        for number in sorted(before - set(self._kept.messages)):
            self._note("acked", number)
        return answer

    def modify(
        self, ack_ids: Sequence[str], seconds: int, purpose: str
    ) -> tuple[str | None, Refused]:
        """A ModifyAckDeadline; returns the error, or why single ids are refused."""
        for ack_id in ack_ids:
            if self._is_current(ack_id):
                kind = {"extend": "extended", "delay": "delayed"}.get(purpose, purpose)
                worker = self._leases[self._number(ack_id)][1]
                self._note(kind, self._number(ack_id), worker, ack_id, seconds)
        self._cause = "nacked"
        field = "ack_deadline_seconds"
        answer = self._answer(
            lambda: acknowledging.modify_ack_deadlines(
                self._backlog, ack_ids, [seconds] * len(ack_ids), field
            ),
            ack_ids,
        )
        self._cause = ""
        return answer

    @property
    def unacknowledged(self) -> list[int]:
        """The messages that are not acknowledged."""
        return sorted(self._kept.messages)

    def leased(self) -> set[str]:
        """The ack ids of all leases that have not ended."""
        backlog = self._backlog
        return {backlog.ack_ids.make(each) for each in backlog.deliveries() if each.leased}

    def note_failed(self, number: int) -> None:
        """Note that a lease has ended without an ack."""
        ack_id, worker, _ = self._leases.get(number, ("", "", None))
        self._note("freed", number, worker, ack_id, self._cause or "expired")

    def _new_backlog(self) -> Backlog:
        self._starts += 1
        options = self.options
        backlog = Backlog(
            f"{self._starts:08x}",
            lambda: self.clockwork.now,
            self._set_timer,
            ordered=options.is_ordered,
            ledger=self._kept,
        )
        letters = None
        if options.max_attempts is not None:
            letters = DeadLetters(options.max_attempts, self._forward)
        backlog.configure(
            backoff=options.backoff, dead_letters=letters, exactly_once=options.is_exactly_once
        )
        return backlog

    def _forward(self, message: StoredMessage, attempts: int) -> bool:
        self.note_failed(message.id)
        self.dead_letters.append(message.id)
        self._note("dead_lettered", message.id)
        return True

    def _received(self, leased: Leased, stream: ServerStream) -> Received:
        message = leased.message
        ack_id = self._backlog.ack_ids.make(leased)
        self._leases[message.id] = (ack_id, stream.worker, stream)
        self._note("delivered", message.id, stream.worker, ack_id)
        attempt = leased.attempt if self._backlog.counts_attempts else None
        return Received(message.id, message.ordering_key, message.size, ack_id, attempt)

    def _answer(
        self, do: Callable[[], object], ack_ids: Sequence[str]
    ) -> tuple[str | None, Refused]:
        try:
            _check_size(ack_ids)
            acknowledging.raise_for(do())  # type: ignore[arg-type]
        except AckIdsError as error:
            return None, error.failures
        except ServiceError as error:
            return f"{error.status}: {error}", {}
        return None, {}

    def _is_current(self, ack_id: str) -> bool:
        return self._leases.get(self._number(ack_id), ("",))[0] == ack_id

    @staticmethod
    def _number(ack_id: str) -> int:
        return int(ack_id.split(":")[2])

    def _drop(self, stream: ServerStream) -> None:
        stream.is_open, stream.is_over = False, True
        self.streams.remove(stream)
        if self.is_up:
            self._backlog.detach(stream.consumer)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.at <= at:
                return
            self._timer.cancel()
        self._timer = self.clockwork.at(at, self._advance)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advance(self) -> None:
        self._timer = None
        self._backlog.advance()

    def _note(
        self,
        kind: str,
        number: int,
        worker: str = "",
        ack_id: str = "",
        detail: object = None,
    ) -> None:
        self._history.add(self.clockwork.now, kind, number, worker, ack_id, detail)


def _check_size(ack_ids: Sequence[str]) -> None:
    """What ``limits.check_ack_ids`` checks with the request of protobuf."""
    size = sum(len(ack_id) + 3 for ack_id in ack_ids)
    if not (0 < len(ack_ids) <= limits.MAX_ACK_IDS and size <= limits.MAX_ACK_BYTES):
        raise InvalidArgumentError(f"{len(ack_ids)} ack ids of {size} bytes")
