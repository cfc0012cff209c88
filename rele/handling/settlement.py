"""How the messages of a subscription are settled, once their handler has ended."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rele.exceptions import DeadLetter, DecodeError, Drop, Reject, ReleError, Retry
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
    max_attempts: int | None = None
    """After how many deliveries Pub/Sub would move a message to that topic; ``None``: never."""
    logs_payloads: bool = True
    """Whether a payload that cannot be decoded may be written to the log."""
    decode: Callable[[bytes], Any] = decode
    """Turns a payload into the handler's data; raises a DecodeError where that is impossible."""

    def settle_failed(self, message: Message, error: BaseException) -> None:
        """Settle a failed message as ``error`` asks for, if it is a Decision; otherwise nack it."""
        if isinstance(error, Drop):
            message.ack()
        elif isinstance(error, DeadLetter):
            self._dead_letter(message, error)
        elif isinstance(error, Reject):
            self._reject(message, error)
        elif self._is_last_failure(message, error):
            self._dead_letter_at_last(message, error)
        else:
            self._redeliver(message, error)

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

    def may_publish(self, message: Message, error: BaseException) -> bool:
        """Whether settling a message that failed with ``error`` publishes it, and so waits."""
        return self.send_to_dead_letters is not None and (
            isinstance(error, (DeadLetter, DecodeError, Reject))
            or self._is_last_failure(message, error)
        )

    def after_refusal(self) -> SettlementPolicy:
        """The policy for the rest of a batch, once Pub/Sub has not accepted a dead letter of it.

        During an outage each of them would wait for as long again.
        """
        return replace(self, max_attempts=None, send_to_dead_letters=_refuse)

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

    def _redeliver(self, message: Message, error: BaseException | None = None) -> None:
        delay = error.delay if isinstance(error, Retry) else None
        pause = self.failure_pause if delay is None else delay
        if pause is None:
            message.nack()
        else:
            _redeliver_later(message, pause)

    def _is_last_failure(self, message: Message, error: BaseException) -> bool:
        """Whether Pub/Sub would move the message to the dead-letter topic, were it nacked now.

        What ends a handler from outside, such as the cancellation of its task, is no failure of it.
        """
        return (
            self.max_attempts is not None
            and self.send_to_dead_letters is not None
            and (message.delivery_attempt or 0) >= self.max_attempts
            and isinstance(error, Exception)
        )

    def _dead_letter_at_last(self, message: Message, error: BaseException) -> None:
        """Publish the message with its error, which Pub/Sub would not know.

        If that is not accepted, it is nacked, so that Pub/Sub moves it without the error.
        """
        refusal = self._publish_letter(message, error)
        if refusal is None:
            logger.warning(
                "The message %s of %s has used up its deliveries (%s) and was published to the "
                "dead-letter topic.",
                message.message_id,
                self.subscription,
                message.delivery_attempt,
            )
            return
        logger.warning(
            "The message %s of %s has used up its deliveries (%s). It is nacked, so that Pub/Sub "
            "moves it to the dead-letter topic without its error, since it could not be published "
            "with it: %s",
            message.message_id,
            self.subscription,
            message.delivery_attempt,
            in_one_line(refusal),
        )
        self._redeliver(message, error)

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
        refusal = self._publish_letter(message, error)
        if refusal is not None:
            self._report_dead_letter(message, refusal)
            self._redeliver(message)

    def _publish_letter(self, message: Message, error: BaseException) -> Exception | None:
        """Publish ``message`` to the dead-letter topic, and then ack it; return why it was not."""
        assert self.send_to_dead_letters is not None
        try:
            self.send_to_dead_letters(message, failure_attributes(error, self.subscription.path))
        except Exception as refusal:  # noqa: BLE001 - after any error the message is not published
            return refusal
        message.ack()
        return None

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


def _refuse(message: Message, failure: Mapping[str, str]) -> None:
    raise ReleError("an earlier message of its batch was not accepted")


def _redeliver_later(message: Message, seconds: float) -> None:
    """Have ``message`` redelivered after ``seconds``, by setting its ack deadline.

    The message is dropped first, so that the engine does not extend the deadline any more.
    """
    message.drop()
    message.modify_ack_deadline(math.ceil(seconds))


def _reason(error: BaseException) -> str:
    code = getattr(error, "error_code", None)
    return getattr(code, "name", None) or str(error) or type(error).__name__
