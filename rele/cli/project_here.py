"""The project in the current folder, for ``rele-cli``."""

from __future__ import annotations

from rele import discover
from rele.exceptions import ConfigurationError, import_failure
from rele.project.loading import Project, load_settings


def load_project_here() -> Project:
    """The project of ``settings.py`` and of the subs modules below this folder.

    Without a ``settings.py`` nothing is set, and the environment may be enough.

    Raises:
        ConfigurationError: the settings cannot be imported, or are those of a Django project.
    """
    try:
        settings, module_paths = discover.sub_modules()
    except Exception as error:
        failure = import_failure("The settings module 'settings'", error)
        raise ConfigurationError(f"{failure} Fix it.") from error
    if settings is None and discover.has_manage_py():
        raise ConfigurationError(
            "This is a Django project, whose settings rele-cli does not read: use `python "
            "manage.py rele` with the same arguments."
        )
    if settings is None:
        return load_settings({})
    return load_settings(getattr(settings, "RELE", {})).with_subscriptions(module_paths)
