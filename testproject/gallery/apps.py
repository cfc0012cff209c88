"""The gallery as a Django app."""

from django.apps import AppConfig


class GalleryConfig(AppConfig):
    """Connects the gallery's signals."""

    name = "testproject.gallery"

    def ready(self) -> None:
        """Import the receivers, which connects them."""
        from testproject.gallery import signals  # noqa: F401
