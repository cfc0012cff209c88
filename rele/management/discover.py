"""Finding the subs modules of the installed apps."""

from __future__ import annotations

from pathlib import Path

from django.apps import apps

from rele.discover import find_subs_modules


def discover_subs_modules() -> list[str]:
    """The dotted paths of each ``subs.py`` and of the modules in each ``subs/``, at any depth.

    A module that belongs to two installed apps, one inside the other, is listed once.
    """
    paths: dict[str, None] = {}
    for app in apps.get_app_configs():
        paths |= dict.fromkeys(find_subs_modules(Path(app.path), app.name))
    return list(paths)
