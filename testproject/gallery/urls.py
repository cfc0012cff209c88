"""The addresses of the gallery."""

from django.urls import path

from testproject.gallery import views

urlpatterns = [
    path("", views.gallery, name="gallery"),
    path("wall/", views.wall, name="wall"),
]
