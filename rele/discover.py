"""Finding ``settings`` and ``subs`` modules in folders, without Django."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

_FOLDERS_WITHOUT_CODE = frozenset(
    {"__pycache__", "locale", "migrations", "node_modules", "site-packages", "static", "templates"}
)


def sub_modules(settings_path: str | None = None) -> tuple[ModuleType | None, list[str]]:
    """Find the settings and the subs modules of the project in the current folder.

    Args:
        settings_path: the dotted path of the settings module; by default ``settings``, if there
            is a ``settings.py``.

    Returns:
        the settings module, or ``None`` if there is none, and the dotted paths of the subs modules.

    Raises:
        ImportError: the settings module cannot be imported.
    """
    folder = Path.cwd()
    if str(folder) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(folder))
    if settings_path is None and (folder / "settings.py").is_file():
        settings_path = "settings"
    settings = importlib.import_module(settings_path) if settings_path else None
    return settings, find_subs_modules(folder)


def has_manage_py() -> bool:
    """Whether the current folder has a ``manage.py``, as a Django project has."""
    return Path("manage.py").is_file()


def find_subs_modules(folder: Path, package: str = "") -> list[str]:
    """The dotted paths of each ``subs.py`` and of each module in ``subs/``, at any depth.

    Args:
        folder: the folder to search. No folder needs an ``__init__.py``.
        package: the dotted path of ``folder`` itself.
    """
    prefix = f"{package}." if package else ""
    paths = []
    for parent, files in _walk(folder):
        parts = parent.relative_to(folder).parts
        in_subs = "subs" in (*package.split("."), *parts)
        if in_subs and "__init__.py" in files:
            paths.append((prefix + ".".join(parts)).removesuffix("."))
        for file in files:
            if file == "subs.py" or (in_subs and _is_module(file)):
                paths.append(prefix + ".".join((*parts, file.removesuffix(".py"))))
    return paths


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _may_hold_code(Path(parent, name)))
        yield Path(parent), sorted(files)


def _may_hold_code(folder: Path) -> bool:
    return (
        folder.name.isidentifier()
        and folder.name not in _FOLDERS_WITHOUT_CODE
        and not (folder / "pyvenv.cfg").exists()
    )


def _is_module(file: str) -> bool:
    stem, suffix = os.path.splitext(file)  # noqa: PTH122 - a name, not a path
    return suffix == ".py" and stem != "__init__" and stem.isidentifier()
