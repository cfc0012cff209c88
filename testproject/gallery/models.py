"""What the gallery keeps."""

from pathlib import PurePath
from uuid import uuid4

from django.db import models


def generated_name(folder: str, filename: str) -> str:
    """Return a name in `folder` that nobody chose; only the suffix of `filename` is kept."""
    return f"{folder}/{uuid4().hex}{PurePath(filename).suffix}"


def original_name(_photo: "Photo", filename: str) -> str:
    """Return where the uploaded file of a photo is stored."""
    return generated_name("originals", filename)


def thumbnail_name(_photo: "Photo", filename: str) -> str:
    """Return where the thumbnail of a photo is stored."""
    return generated_name("thumbnails", filename)


class Photo(models.Model):
    """A photo somebody uploaded, and what became of it."""

    class Status(models.TextChoices):
        """How far the processing of a photo has come."""

        PROCESSING = "processing"
        READY = "ready"
        FAILED = "failed"

    title = models.CharField(max_length=255)
    original = models.FileField(upload_to=original_name)
    thumbnail = models.FileField(upload_to=thumbnail_name, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PROCESSING)
    failure = models.CharField(max_length=200, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The newest photo comes first."""

        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.title
