"""The form by which photos come in."""

from pathlib import PurePath
from typing import Any

from django import forms
from django.core.files import File

from testproject.gallery import thumbnails
from testproject.gallery.models import Photo

MAX_MEGABYTES = 100


class UploadForm(forms.Form):
    """Takes one photo, and refuses what can be seen at once not to be one."""

    photo = forms.FileField(
        label="Add a photo",
        help_text=f"JPEG, PNG or WebP, up to {MAX_MEGABYTES} MB",
        widget=forms.FileInput(attrs={"accept": "image/jpeg,image/png,image/webp"}),
        error_messages={"required": "Choose a photo first.", "empty": "This file is empty."},
    )

    def clean_photo(self) -> "File[Any]":
        """Look at the file's content; its name says nothing reliable."""
        upload: File[Any] = self.cleaned_data["photo"]
        if upload.size and upload.size > MAX_MEGABYTES * 1_000_000:
            raise forms.ValidationError(f"This file is larger than {MAX_MEGABYTES} MB.")
        try:
            self.format = thumbnails.check(upload)
        except thumbnails.UnreadablePhotoError as error:
            raise forms.ValidationError(f"{upload.name}: {error}") from error
        return upload

    def save(self) -> Photo:
        """Store the photo, which then waits for its thumbnail."""
        upload: File[Any] = self.cleaned_data["photo"]
        original = File(upload, name=f"original{self.format.suffix}")
        return Photo.objects.create(title=PurePath(upload.name or "photo").name, original=original)
