"""Receivers of the gallery's signals."""

from collections.abc import Collection
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from testproject.gallery.events import publish_processed
from testproject.gallery.models import Photo


@receiver(post_save, sender=Photo)
def announce_processed(
    instance: Photo, update_fields: Collection[str] | None, **_kwargs: Any
) -> None:
    """Publish, once, that a photo has been processed.

    Only the save that ends the processing names `status`; later ones of the same photo do not.
    """
    if "status" in (update_fields or ()) and instance.status != Photo.Status.PROCESSING:
        publish_processed(instance)
