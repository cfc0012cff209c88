"""The topic to which Pub/Sub moves messages that were delivered too often."""

from __future__ import annotations

import re
from dataclasses import dataclass

MIN_ATTEMPTS, MAX_ATTEMPTS = 5, 100
"""What Pub/Sub accepts (DeadLetterPolicy in the Pub/Sub API reference)."""

ADVISED_ATTEMPTS = 10
"""With fewer, a few deploys can use up the attempts: a stopping worker nacks the messages that it
has not handled, and each nack counts as an attempt."""

SUFFIX = "-dead-letter"
"""What follows the subscription's id in the name of the topic, where no topic is given."""

_TOPIC_PATH = re.compile(r"projects/[^/]+/topics/[^/]+")


@dataclass(frozen=True)
class DeadLetterPolicy:
    """Pub/Sub moves a message to the dead-letter topic after a number of delivery attempts.

    Args:
        dead_letter_topic: the topic's id, or its full path ``projects/…/topics/…``; ``None``
            stands for ``<subscription>-dead-letter``.
        max_delivery_attempts: 5 to 100. Every delivery that was not acknowledged counts, also one
            that a stopping worker nacked.

    Raises:
        ValueError: a value is not one of these.
    """

    dead_letter_topic: str | None = None
    max_delivery_attempts: int = ADVISED_ATTEMPTS

    def __post_init__(self) -> None:
        topic = self.dead_letter_topic
        if topic is not None and not (isinstance(topic, str) and _is_topic(topic)):
            raise ValueError(
                "dead_letter_topic must be the id of a topic, or its path 'projects/…/topics/…', "
                f"not {topic!r}."
            )
        attempts = self.max_delivery_attempts
        if type(attempts) is not int or not MIN_ATTEMPTS <= attempts <= MAX_ATTEMPTS:
            raise ValueError(
                f"max_delivery_attempts must be a whole number from {MIN_ATTEMPTS} to "
                f"{MAX_ATTEMPTS}, not {attempts!r}."
            )

    def topic_path(self, project_id: str, subscription_name: str) -> str:
        """The full path of the dead-letter topic of the subscription with that id."""
        topic = self.dead_letter_topic or f"{subscription_name}{SUFFIX}"
        return topic if "/" in topic else f"projects/{project_id}/topics/{topic}"


def _is_topic(topic: str) -> bool:
    return bool(topic) and ("/" not in topic or _TOPIC_PATH.fullmatch(topic) is not None)
