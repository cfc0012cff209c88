"""`manage.py republish`."""

from typing import Any

from django.core.management.base import BaseCommand

from testproject.gallery.events import publish_uploaded
from testproject.gallery.models import Photo


class Command(BaseCommand):
    """Announces every photo again that still waits for its thumbnail."""

    help = "Publish photo-uploaded again for every photo that still waits for its thumbnail."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Publish; a photo that has been processed in the meantime is left alone by the handler."""
        waiting = Photo.objects.filter(status=Photo.Status.PROCESSING)
        for photo in waiting:
            publish_uploaded(photo)
        self.stdout.write(f"Published {len(waiting)} photos again.")
