"""Subscriptions of the gallery."""

import logging
from typing import Any

from django.core.files.base import ContentFile
from django.db import transaction

from rele import sub
from rele.contrib.inbox import idempotent
from testproject.gallery import thumbnails
from testproject.gallery.events import PHOTO_UPLOADED
from testproject.gallery.models import Photo

logger = logging.getLogger(__name__)


@sub(topic=PHOTO_UPLOADED)
@idempotent
def make_thumbnail(data: dict[str, Any], **_attributes: Any) -> None:
    """Make the thumbnail of an uploaded photo, or record why there is none.

    A failure that another attempt would only repeat is an outcome like any other, so that the
    message does not come back for it.
    """
    photo = Photo.objects.filter(pk=data["id"], status=Photo.Status.PROCESSING).first()
    if photo is None:
        logger.info("Photo %s has been processed already, or deleted.", data["id"])
        return
    try:
        with photo.original.open() as original:
            thumbnail = thumbnails.make(original)
    except FileNotFoundError:
        _finish(photo, status=Photo.Status.FAILED, failure="The file is gone.")
    except thumbnails.UnreadablePhotoError as error:
        _finish(photo, status=Photo.Status.FAILED, failure=str(error))
    else:
        _finish(
            photo,
            status=Photo.Status.READY,
            thumbnail=ContentFile(thumbnail.content, name=f"thumbnail{thumbnails.SUFFIX}"),
            width=thumbnail.original_width,
            height=thumbnail.original_height,
        )


def _finish(photo: Photo, **outcome: Any) -> None:
    """Save the outcome, unless another delivery of the same message came first."""
    with transaction.atomic():
        waiting = Photo.objects.select_for_update().filter(
            pk=photo.pk, status=Photo.Status.PROCESSING
        )
        if current := waiting.first():
            for field, value in outcome.items():
                setattr(current, field, value)
            current.save(update_fields=outcome)
