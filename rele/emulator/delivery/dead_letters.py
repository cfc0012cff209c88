"""Dead letters: messages that failed too often."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from rele.emulator.delivery.message import StoredMessage

_PREFIX = "CloudPubSubDeadLetterSource"


@dataclass(slots=True, frozen=True)
class DeadLetters:
    """A subscription's dead-letter policy.

    ``forward`` publishes a message that failed a number of times, and returns whether it could.
    """

    max_attempts: int
    forward: Callable[[StoredMessage, int], bool]

    def take(self, message: StoredMessage, attempts: int) -> bool:
        """Forward a message that failed ``attempts`` times, if that is enough and possible."""
        return attempts >= self.max_attempts and self.forward(message, attempts)


def source_attributes(subscription: str, message: StoredMessage, attempts: int) -> dict[str, str]:
    """The attributes that say where a forwarded message comes from.

    The names are those of "Handle message failures: dead-letter topics" in the documentation;
    the time is RFC 3339 with milliseconds. ``subscription`` is the full name.
    """
    _, project, _, name = subscription.split("/")
    published = datetime.fromtimestamp(message.publish_time // 1000 / 1000, timezone.utc)
    return {
        f"{_PREFIX}DeliveryCount": str(attempts),
        f"{_PREFIX}Subscription": name,
        f"{_PREFIX}SubscriptionProject": project,
        f"{_PREFIX}TopicPublishTime": published.isoformat(timespec="milliseconds").replace(
            "+00:00", "Z"
        ),
    }
