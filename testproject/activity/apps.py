"""The activity list as a Django app."""

from django.apps import AppConfig


class ActivityConfig(AppConfig):
    """The activity list."""

    name = "testproject.activity"
