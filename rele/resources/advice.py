"""Sentences that say what a person must do."""

from __future__ import annotations

from rele.endpoint import emulator_named
from rele.resources.desired import Desired

DELETED_TOPIC = "_deleted-topic_"
"""The topic that Pub/Sub shows for a subscription whose topic was deleted."""

_SERVICE_AGENT = "service-PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
"""The account that moves dead letters ("Dead-letter topics" in the Pub/Sub documentation)."""


def on_dead_letters(desired: Desired) -> str:
    """Advice on the permissions that a dead-letter policy needs."""
    if desired.dead_letter_topic is None or emulator_named() is not None:
        return ""
    project = desired.path.split("/")[1]
    return (
        f"Grant {_SERVICE_AGENT}, with the number of {project}, roles/pubsub.publisher on "
        f"{desired.dead_letter_topic} and roles/pubsub.subscriber on {desired.path}: without both, "
        "Pub/Sub moves no dead letter."
    )


def on_unreadable_topic(topic: str) -> str:
    """Advice if the credentials may not read a dead-letter topic."""
    return (
        f"The credentials may not read the dead-letter topic {topic} (pubsub.topics.get). Make "
        "sure that it has a subscription: without one its messages are lost."
    )


def on_obstacle(desired: Desired, actual_topic: str) -> str:
    """Advice if an existing subscription cannot be changed to its declaration."""
    if actual_topic == DELETED_TOPIC:
        reason = "Its topic was deleted, so nothing new arrives"
    elif desired.is_for_dead_letters:
        reason = "It does not receive what is published to that dead-letter topic"
    else:
        reason = "This is fixed when a subscription is created"
    instead = "" if desired.is_for_dead_letters else ", or declare another suffix"
    return f"{reason}: delete the subscription once it is drained, and Relé recreates it{instead}."
