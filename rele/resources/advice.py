"""What remains for a person to do, in a sentence."""

from __future__ import annotations

from rele.resources.desired import Desired

DELETED_TOPIC = "_deleted-topic_"
"""What Pub/Sub names as the topic of a subscription whose topic was deleted."""

_SERVICE_AGENT = "service-PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
"""It moves the messages ("Dead-letter topics" in the Pub/Sub documentation)."""


def on_dead_letters(desired: Desired) -> str:
    """Which permissions Pub/Sub's service agent needs for a dead-letter policy to work at all."""
    if desired.dead_letter_topic is None:
        return ""
    project = desired.path.split("/")[1]
    return (
        f"Grant {_SERVICE_AGENT}, with the number of {project}, roles/pubsub.publisher on "
        f"{desired.dead_letter_topic} and roles/pubsub.subscriber on {desired.path}: without both, "
        "Pub/Sub moves no dead letter."
    )


def on_unreadable_topic(topic: str) -> str:
    """What to make sure of where the credentials may not read a dead-letter topic."""
    return (
        f"The credentials may not read the dead-letter topic {topic} (pubsub.topics.get). Make "
        "sure that it has a subscription: without one its messages are lost."
    )


def on_obstacle(desired: Desired, actual_topic: str) -> str:
    """What to do where a subscription that exists cannot become what is declared."""
    if actual_topic == DELETED_TOPIC:
        reason = "Its topic was deleted, so nothing new arrives"
    elif desired.is_for_dead_letters:
        reason = "It does not receive what is published to that dead-letter topic"
    else:
        reason = "This is fixed when a subscription is created"
    instead = "" if desired.is_for_dead_letters else ", or declare another suffix"
    return f"{reason}: delete the subscription once it is drained, and Relé recreates it{instead}."
