"""Finding the subs modules of the installed apps."""

from __future__ import annotations

from pathlib import Path

from django.apps import apps

from rele.discover import find_subs_modules


def discover_subs_modules() -> list[str]:
    """The dotted paths of ``subs.py`` and of all in ``subs/``, at any depth of each app.

    A module that lies within two installed apps is found once.
    """
    paths: dict[str, None] = {}
    for app in apps.get_app_configs():
        paths |= dict.fromkeys(find_subs_modules(Path(app.path), app.name))
    return list(paths)
