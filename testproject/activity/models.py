"""What the activity list keeps."""

from django.db import models


class Activity(models.Model):
    """Something that happened to a photo.

    The photo is known by its number alone: it may have been deleted by the time its message comes.
    """

    photo = models.PositiveBigIntegerField(unique=True)
    text = models.CharField(max_length=400)
    happened_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The latest activity comes first."""

        ordering = ("-pk",)
        verbose_name_plural = "activities"

    def __str__(self) -> str:
        return self.text
