from __future__ import annotations

import pytest

from rele.management.discover import discover_subs_modules
from tests.unit.management.conftest import InstallApp


def test_without_subs_there_are_none(install_app: InstallApp) -> None:
    install_app("plain_app", {"models.py": ""})

    assert discover_subs_modules() == []


def test_subs_are_found_at_any_depth_of_each_app(install_app: InstallApp) -> None:
    install_app("gallery_app", {"subs.py": "", "photos/thumbs/subs.py": ""})
    install_app("orders_app", {"subs/__init__.py": "", "subs/new.py": "", "subs/old/late.py": ""})

    assert discover_subs_modules() == [
        "gallery_app.subs",
        "gallery_app.photos.thumbs.subs",
        "orders_app.subs",
        "orders_app.subs.new",
        "orders_app.subs.old.late",
    ]


def test_an_app_within_a_package_has_its_whole_path(install_app: InstallApp) -> None:
    install_app("company.shop", {"subs.py": ""})

    assert discover_subs_modules() == ["company.shop.subs"]


def test_a_module_of_two_apps_is_found_once(install_app: InstallApp) -> None:
    install_app("outer_app", {"subs.py": ""})
    install_app("outer_app.inner", {"subs.py": ""})

    assert discover_subs_modules() == ["outer_app.subs", "outer_app.inner.subs"]


@pytest.mark.parametrize("folder", ["static", "templates", "locale", "migrations"])
def test_folders_without_code_are_not_walked(install_app: InstallApp, folder: str) -> None:
    install_app("gallery_app", {f"{folder}/subs.py": ""})

    assert discover_subs_modules() == []


def test_nothing_is_imported(install_app: InstallApp) -> None:
    install_app("gallery_app", {"subs.py": "raise RuntimeError('imported')"})

    assert discover_subs_modules() == ["gallery_app.subs"]
