"""Handling dead letters in this process, by the handler that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from rele.config import Config
from rele.deadletters.letter import Letter, in_order
from rele.deadletters.outcome import Outcome
from rele.deadletters.replaying import Acker
from rele.declaration.subscription import Subscription
from rele.engine.base import Message, Settlement
from rele.exceptions import ResourceError
from rele.handling.callback import Callback
from rele.handling.settlement import SettlementPolicy
from rele.messages.codec import decoder


class LetterMessage(Message):
    """A letter as its handler gets it: as it was published first, but for the message id.

    Args:
        letter: the dead letter.
    """

    delivery_attempt = None
    ack_id = ""

    def __init__(self, letter: Letter) -> None:
        super().__init__()
        self.message_id = letter.message_id
        self.data = letter.data
        self.attributes = letter.original_attributes
        self.publish_time = letter.published
        self.ordering_key = letter.ordering_key
        self.size = len(letter.data)

    def modify_ack_deadline(self, seconds: int) -> None:
        """Change nothing: the box leases the letter, and a failed one stays there."""

    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        return _done()

    def _send(self, settlement: Settlement, with_response: bool) -> Any:
        return _done()  # whoever has called the handler looks at `settled_as`

    def __repr__(self) -> str:
        return f"<Message {self.message_id}: {len(self.data)} bytes, {dict(self.attributes)}>"


def _done() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(None)
    return future


def handle_here(
    box: Acker,
    letters: Iterable[Letter],
    handler_of: Callable[[Letter], Subscription | None],
    config: Config,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    report: Callable[[int], object] = lambda number: None,
) -> Outcome:
    """Call the handler of each letter, one after the other; what it handles is acknowledged.

    Args:
        box: acknowledges them.
        letters: what is to be handled.
        handler_of: the subscription whose handler a letter goes to; ``None`` if there is none.
        config: the project's configuration, which is in use.
        is_stopped: whether no further handler is to begin.
        report: called with 1 after each.
    """
    outcome = Outcome()
    for letter in in_order(letters):
        if outcome.error is not None or is_stopped():
            outcome.left += 1
            continue
        subscription = handler_of(letter)
        if subscription is None:
            outcome.fail([letter], f"no subscription of this project is {letter.source}")
        elif _is_handled(letter, subscription, config):
            _ack(box, letter, outcome)
        else:
            outcome.fail([letter], f"{subscription} failed again; the log says why")
        report(1)
    return outcome


def _ack(box: Acker, letter: Letter, outcome: Outcome) -> None:
    try:
        box.ack([letter])
    except ResourceError as error:
        outcome.error = error
        outcome.unconfirmed += 1
    else:
        outcome.done += 1


def _is_handled(letter: Letter, subscription: Subscription, config: Config) -> bool:
    """Whether the handler wants the letter acknowledged."""
    message = LetterMessage(letter)
    options = subscription.options.over(config.subscription_defaults)
    policy = SettlementPolicy(
        subscription,
        send_to_dead_letters=_keep,
        logs_payloads=config.log_payloads,
        decode=decoder(options.codec or "json", config.decoder),
    )
    Callback(subscription, policy=policy)(message)
    return message.settled_as == "ack"


def _keep(message: Message, failure: Mapping[str, str]) -> None:
    """Leave what the handler wants dead-lettered where it is, which it is already."""
    message.nack()
