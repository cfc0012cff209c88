"""Subscriptions of the activity list."""

from typing import Any

from rele import sub
from rele.contrib.inbox import idempotent
from testproject.activity.models import Activity


def is_ready(**attributes: Any) -> bool:
    """Tell whether a message is about a photo that joined the gallery."""
    return attributes.get("outcome") == "ready"


@sub(topic="photo-processed", suffix="activity", filter_by=is_ready)
@idempotent
def record_activity(data: dict[str, Any], **_attributes: Any) -> None:
    """Record a photo that joined the gallery."""
    text = f"{data['title']} joined the gallery: {data['width']} by {data['height']} pixels"
    Activity.objects.get_or_create(photo=data["id"], defaults={"text": text})
