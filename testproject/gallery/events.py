"""What the gallery announces: its topics, and the messages on them."""

import rele
from testproject.gallery.models import Photo

PHOTO_UPLOADED = "photo-uploaded"
PHOTO_PROCESSED = "photo-processed"


def publish_uploaded(photo: Photo) -> None:
    """Announce a photo that waits for its thumbnail."""
    rele.publish(PHOTO_UPLOADED, {"id": photo.pk})


def publish_processed(photo: Photo) -> None:
    """Announce a photo that is finished; the attribute `outcome` says how that went."""
    rele.publish(
        PHOTO_PROCESSED,
        {"id": photo.pk, "title": photo.title, "width": photo.width, "height": photo.height},
        outcome=photo.status,
    )
