from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rele.discover import find_subs_modules, sub_modules

Write = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    before = dict(sys.modules)
    sys.modules.pop("settings", None)
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


@pytest.fixture
def write(project: Path) -> Write:
    """Write files, empty unless their content is given."""

    def write(*names: str, content: str = "") -> Path:
        for name in names:
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return project

    return write


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((), []),
        (("subs.py",), ["subs"]),
        (("shop/subs.py",), ["shop.subs"]),
        (("shop/__init__.py", "shop/subs.py"), ["shop.subs"]),
        (("shop/deep/er/subs.py",), ["shop.deep.er.subs"]),
        (("shop/subs/__init__.py",), ["shop.subs"]),
        (
            ("shop/subs/__init__.py", "shop/subs/photos.py", "shop/subs/more/orders.py"),
            ["shop.subs", "shop.subs.photos", "shop.subs.more.orders"],
        ),
        (("shop/subs/photos.py",), ["shop.subs.photos"]),
        (("b/subs.py", "a/subs.py", "subs.py"), ["subs", "a.subs", "b.subs"]),
        (("shop/mysubs.py", "shop/subs.txt", "shop/subs.pyc"), []),
        (("shop/subs/not-a-module.py", "shop/subs/read.me"), []),
    ],
)
def test_subs_modules_are_found_at_any_depth(
    write: Write, files: tuple[str, ...], found: list[str]
) -> None:
    assert find_subs_modules(write(*files)) == found


@pytest.mark.parametrize(
    "folder",
    ["migrations", "static", "templates", "locale", "__pycache__", "node_modules", ".git", "a-b"],
)
def test_folders_without_code_are_not_walked(write: Write, folder: str) -> None:
    assert find_subs_modules(write(f"shop/{folder}/subs.py", f"{folder}/deep/subs.py")) == []


def test_virtual_environments_are_not_walked(write: Write) -> None:
    assert find_subs_modules(write("venv/pyvenv.cfg", "venv/lib/subs.py", "shop/subs.py")) == [
        "shop.subs"
    ]


def test_the_package_of_the_folder_begins_the_paths(write: Write) -> None:
    folder = write("subs.py", "deep/subs.py")

    assert find_subs_modules(folder, "shop.photos") == [
        "shop.photos.subs",
        "shop.photos.deep.subs",
    ]


def test_everything_of_a_package_that_is_itself_named_subs_is_found(write: Write) -> None:
    folder = write("__init__.py", "photos.py", "deep/orders.py")

    assert find_subs_modules(folder, "shop.subs") == [
        "shop.subs",
        "shop.subs.photos",
        "shop.subs.deep.orders",
    ]


def test_the_project_in_the_folder_has_settings_and_subs(write: Write) -> None:
    write("settings.py", content="RELE = {'APP_NAME': 'here'}")
    write("subs.py", "shop/subs.py")

    settings, paths = sub_modules()

    assert settings is not None
    assert settings.RELE == {"APP_NAME": "here"}
    assert paths == ["subs", "shop.subs"]


def test_a_folder_without_settings_has_none(write: Write) -> None:
    write("subs.py")

    assert sub_modules() == (None, ["subs"])


def test_the_settings_may_be_named(write: Write) -> None:
    write("settings.py", content="RELE = 'default'")
    write("conf/production.py", content="RELE = 'production'")

    settings, _ = sub_modules("conf.production")

    assert settings is not None
    assert settings.RELE == "production"


def test_named_settings_that_do_not_exist_are_an_error(project: Path) -> None:
    with pytest.raises(ImportError, match="no_such_settings"):
        sub_modules("no_such_settings")


def test_the_folder_can_be_imported_from_afterwards(write: Write) -> None:
    write("shop_of_discovery/subs.py", content="FOUND = True")

    _, [path] = sub_modules()

    assert __import__(path, fromlist=["FOUND"]).FOUND
    assert sys.path.count(str(Path.cwd())) == 1
    sub_modules()
    assert sys.path.count(str(Path.cwd())) == 1


def test_the_current_folder_on_the_path_is_enough(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    before = sys.path[:]

    sub_modules()

    assert sys.path == before
