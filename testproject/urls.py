"""The addresses of the test project."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("testproject.gallery.urls")),
    path("admin/", admin.site.urls),
    # Empty unless DEBUG: outside development, serving uploads is the business of another server.
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
