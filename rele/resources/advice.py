"""What is left for somebody to do, in a sentence."""

from __future__ import annotations

from rele.resources.desired import Desired

DELETED_TOPIC = "_deleted-topic_"
"""What Pub/Sub tells as the topic of a subscription that has lost it."""

_SERVICE_AGENT = "service-PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
"""It moves the messages ("Dead-letter topics" in the Pub/Sub documentation)."""


def on_dead_letters(desired: Desired) -> str:
    """What the service must be allowed to do, for a dead-letter policy to work at all."""
    if desired.dead_letter_topic is None:
        return ""
    project = desired.path.split("/")[1]
    return (
        f"Grant {_SERVICE_AGENT}, with the number of {project}, roles/pubsub.publisher on "
        f"{desired.dead_letter_topic} and roles/pubsub.subscriber on {desired.path}: without both, "
        "Pub/Sub moves no dead letter."
    )


def on_obstacle(desired: Desired, actual_topic: str) -> str:
    """What to do where an existing subscription cannot become what is declared."""
    if actual_topic == DELETED_TOPIC:
        reason = "Its topic was deleted, so nothing new arrives"
    elif desired.is_for_dead_letters:
        reason = "So it does not keep what that dead-letter topic gets"
    else:
        reason = "This is fixed when a subscription is made"
    instead = "" if desired.is_for_dead_letters else ", or declare another suffix"
    return f"{reason}: delete the subscription once it is drained, and Relé makes it anew{instead}."
