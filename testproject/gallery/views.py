"""The gallery's page."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from testproject.activity.models import Activity
from testproject.gallery.events import publish_uploaded
from testproject.gallery.forms import UploadForm
from testproject.gallery.journeys import latest_journeys
from testproject.gallery.models import Photo

PHOTOS_SHOWN = 60
ACTIVITIES_SHOWN = 15
EVENTS_SHOWN = 12


@require_http_methods(["GET", "HEAD", "POST"])
def gallery(request: HttpRequest) -> HttpResponse:
    """Show the gallery, or take a photo into it."""
    if request.method != "POST":
        return render(request, "gallery/page.html", {"form": UploadForm(), **_wall()})
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, "gallery/page.html", {"form": form, **_wall()})
    with transaction.atomic():
        publish_uploaded(form.save())
    return redirect("gallery")


@require_safe
def wall(request: HttpRequest) -> HttpResponse:
    """Show the part of the page that changes by itself."""
    return render(request, "gallery/wall.html", _wall())


def _wall() -> dict[str, Any]:
    """Return the newest photos, activities and events."""
    return {
        "photos": Photo.objects.all()[:PHOTOS_SHOWN],
        "activities": Activity.objects.all()[:ACTIVITIES_SHOWN],
        "journeys": latest_journeys(EVENTS_SHOWN),
    }
