"""Where a test is, and what several tests share, follows from what they are about."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent

ABOUT_NO_MODULE = {"import", "packaging"}
"""What the tests at the top of ``tests/unit`` are about, besides the modules at the top of Relé."""


def _folders_of(tests: Path) -> set[Path]:
    return {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path()}


def test_the_folders_of_the_unit_tests_are_those_of_the_code() -> None:
    mirrored = {
        folder for folder in _folders_of(TESTS / "unit") if folder.parts[0] != "testproject"
    }

    assert [str(each) for each in mirrored if not (REPOSITORY / "rele" / each).is_dir()] == []


def test_the_unit_tests_at_the_top_are_about_the_modules_at_the_top() -> None:
    about = {path.stem.removeprefix("test_") for path in (TESTS / "unit").glob("test_*.py")}
    modules = {path.stem for path in (REPOSITORY / "rele").glob("*.py")}

    assert about - modules == ABOUT_NO_MODULE


def test_no_folder_of_tests_is_without_one() -> None:
    packages = {path.parent for path in TESTS.rglob("__init__.py")} - {TESTS, TESTS / "support"}

    assert [str(each) for each in packages if not any(each.rglob("test_*.py"))] == []


def test_what_tests_share_is_in_support() -> None:
    helpers = [
        path.relative_to(TESTS)
        for path in TESTS.rglob("*.py")
        if not path.name.startswith("test_") and path.name not in ("__init__.py", "conftest.py")
    ]

    programs = ("support", "simulation")
    assert [str(path) for path in helpers if path.parts[0] not in programs] == []
