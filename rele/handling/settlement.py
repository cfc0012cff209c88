"""How the messages of a subscription are settled, once their handler has ended."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rele.exceptions import DeadLetter, DecodeError, Drop, Reject, Retry
from rele.messages.codec import decode
from rele.messages.dead_letter_attributes import failure_attributes
from rele.messages.explaining import in_one_line, origin_of
from rele.messages.payload_view import LAST_COPY, fingerprint
from rele.middleware import run_middleware_hook

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message, SendToDeadLetters

logger = logging.getLogger(__name__)

ACK_TIMEOUT = 60.0
"""Seconds to wait for Pub/Sub's answer to an acknowledgement.

If the failure is transient, Google's client retries an acknowledgement for up to 600 s.
"""


@dataclass(frozen=True)
class SettlementPolicy:
    """How the messages of one subscription are decoded and settled; a handled message is acked."""

    subscription: Subscription
    failure_pause: int | None = None
    """The least number of seconds (10 to 600) until a failed message is redelivered, for a
    subscription without a retry policy; ``None`` if the subscription has one."""
    confirms_acks: bool = False
    """Whether to wait for Pub/Sub's answer to an ack, as exactly-once delivery needs."""
    send_to_dead_letters: SendToDeadLetters | None = None
    """Publishes a message to the dead-letter topic; ``None`` without a policy."""
    logs_payloads: bool = True
    """Whether a payload that cannot be decoded may be written to the log."""
    decode: Callable[[bytes], Any] = decode
    """Turns a payload into the handler's data; raises a DecodeError where that is impossible."""

    def settle_failed(self, message: Message, error: BaseException) -> None:
        """Settle a failed message as ``error`` asks for, if it is a Decision; otherwise nack it."""
        if isinstance(error, Drop):
            message.ack()
        elif isinstance(error, Retry) and error.delay is not None:
            _redeliver_later(message, error.delay)
        elif isinstance(error, DeadLetter):
            self._dead_letter(message, error)
        elif isinstance(error, Reject):
            self._reject(message, error)
        else:
            self._redeliver(message)

    def settle_undecodable(self, message: Message, error: DecodeError) -> None:
        """Settle a message whose payload cannot be decoded: a redelivery would fail as well."""
        if self.send_to_dead_letters is not None:
            self._reject(message, error)
        elif self.logs_payloads:
            logger.error(
                "The message %s of %s is acknowledged unhandled: %s It was %r.",
                message.message_id,
                self.subscription,
                error,
                message.data,
                extra=LAST_COPY,
            )
            message.ack()
        else:
            # The payload may not be logged, but may be needed: Pub/Sub keeps it until its retention
            # ends.
            logger.error(
                "%s of %s is nacked: %s. State a dead-letter policy to keep such messages.",
                describe_without_payload(message),
                self.subscription,
                error.in_short,
            )
            self._redeliver(message)

    def confirm_together(self, messages: Sequence[Message]) -> None:
        """As :meth:`confirm` for each of ``messages``; the responses are waited for together."""
        if not self.confirms_acks:
            return
        until = time.monotonic() + ACK_TIMEOUT
        for message in messages:
            self.confirm(message, timeout=max(until - time.monotonic(), 0))

    def confirm(self, message: Message, timeout: float | None = None) -> None:
        """Wait for Pub/Sub's response to an ack, if the policy asks for it; report a failure.

        Args:
            message: the message.
            timeout: seconds; ``None``: ``ACK_TIMEOUT``.
        """
        response = self.response_to_confirm(message)
        if response is None:
            return
        try:
            response.result(timeout=ACK_TIMEOUT if timeout is None else timeout)
        except Exception as error:  # noqa: BLE001 - AcknowledgeError, TimeoutError: not acked
            self.report_unconfirmed(message, error)
            run_middleware_hook("post_ack_failure", self.subscription, error, message)

    def response_to_confirm(self, message: Message) -> Future[Any] | None:
        """Pub/Sub's response to an ack, if the policy asks to wait for it."""
        return message.ack_response if self.confirms_acks else None

    def report_unconfirmed(self, message: Message, error: BaseException) -> None:
        """Log that an ack was not confirmed."""
        # Leases are lost in numbers, and the engine logs how many.
        level = logging.INFO if getattr(error, "is_lease_lost", False) else logging.ERROR
        logger.log(
            level,
            "The acknowledgement of the message %s of %s failed (%s): it may be delivered and "
            "handled again.",
            message.message_id,
            self.subscription,
            _reason(error),
        )

    def may_publish(self, error: BaseException) -> bool:
        """Whether settling a message that failed with ``error`` publishes it, and so waits."""
        return self.send_to_dead_letters is not None and isinstance(
            error, (DeadLetter, DecodeError, Reject)
        )

    def _reject(self, message: Message, error: BaseException) -> None:
        has_topic = self.send_to_dead_letters is not None
        logger.error(
            "The message %s of %s %s: %s",
            message.message_id,
            self.subscription,
            "goes to the dead-letter topic" if has_topic else "is acknowledged unhandled",
            error,
        )
        if has_topic:
            self._dead_letter(message, error)
        else:
            message.ack()

    def _redeliver(self, message: Message) -> None:
        if self.failure_pause is None:
            message.nack()
        else:
            _redeliver_later(message, self.failure_pause)

    def _dead_letter(self, message: Message, error: BaseException) -> None:
        if self.send_to_dead_letters is None:
            logger.error(
                "The handler of %s sent the message %s to the dead-letter topic, but the "
                "subscription has no dead-letter policy: the message is nacked. State one with "
                "@sub(dead_letter_policy=DeadLetterPolicy()).",
                self.subscription,
                message.message_id,
            )
            self._redeliver(message)
            return
        try:
            self.send_to_dead_letters(message, failure_attributes(error, self.subscription.path))
        except Exception as refusal:  # noqa: BLE001 - after any error the message is not published
            self._report_dead_letter(message, refusal)
            self._redeliver(message)
        else:
            message.ack()

    def _report_dead_letter(self, message: Message, error: Exception) -> None:
        origin = origin_of(error)
        logger.error(
            "The message %s of %s could not be published to the dead-letter topic, and is nacked: "
            "%s",
            message.message_id,
            self.subscription,
            in_one_line(error),
            exc_info=error if origin is None else None,
        )
        if origin is not None:
            logger.debug("The traceback of that error in Google's client:", exc_info=origin)


def describe_without_payload(message: Message) -> str:
    """Describe the message by its id, and its payload by size and SHA-256 alone."""
    return f"The message {message.message_id} ({fingerprint(message.data)})"


def _redeliver_later(message: Message, seconds: float) -> None:
    """Have ``message`` redelivered after ``seconds``, by setting its ack deadline.

    The message is dropped first, so that the engine does not extend the deadline any more.
    """
    message.drop()
    message.modify_ack_deadline(math.ceil(seconds))


def _reason(error: BaseException) -> str:
    code = getattr(error, "error_code", None)
    return getattr(code, "name", None) or str(error) or type(error).__name__
