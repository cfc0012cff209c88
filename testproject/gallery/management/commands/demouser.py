"""`manage.py demouser`."""

import os
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Lets the user `demo` into the admin, with the password in DEMO_PASSWORD."""

    help = "Let the user demo into the admin, with the password in DEMO_PASSWORD; only with DEBUG."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Make the user, or give it another password."""
        password = os.environ.get("DEMO_PASSWORD")
        if not settings.DEBUG or not password:
            raise CommandError("This is for the demo: it needs DEBUG and DEMO_PASSWORD.")
        user, _ = User.objects.get_or_create(username="demo")
        user.is_staff = user.is_superuser = True
        user.set_password(password)
        user.save()
