"""``docs/extending.rst``, followed to the letter: its packages, seen by real processes."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from rele.project.extensions import Room
from tests.support.distributions import write_metadata
from tests.support.project import Project, read_until
from tests.support.readme import REPOSITORY, blocks_of, files_of

EXTENDING = (REPOSITORY / "docs" / "extending.rst").read_text(encoding="utf-8")

SUBS = """
    from rele import sub

    @sub(topic="orders")
    def handle(data, **attributes):
        print("handled", data, flush=True)
"""

DJANGO_SETTINGS = """
    SECRET_KEY = "for tests"
    USE_TZ = True
    INSTALLED_APPS = ["rele", "django.contrib.contenttypes", {apps} "shop"]
    DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
    RELE = {{
        "GC_PROJECT_ID": {project_id!r},
        "MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"],
        {rele}
    }}
"""


@pytest.fixture
def site(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the packages of the document, as an installer leaves them."""
    site = tmp_path_factory.mktemp("site")
    for name, code in files_of(EXTENDING):
        path = site / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    write_metadata(site, "journal", **dict(re.findall(r'(\w+) = "(journal.room:.+)"', EXTENDING)))
    project.environment["PYTHONPATH"] += os.pathsep + str(site)
    return site


@pytest.fixture
def plain(project: Project, site: Path) -> Project:
    """A project without Django."""
    project.write("subs.py", SUBS)
    project.write_settings(PUBLISHER_BACKEND="journal.backend.JournalBackend")
    return project


@pytest.fixture
def shop(project: Project, site: Path) -> Project:
    """A Django project with the app of the document."""
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    write_settings(project)
    assert manage(project, "migrate")[0] == 0
    return project


def write_settings(project: Project, apps: str = '"audit",', rele: str = "") -> None:
    code = DJANGO_SETTINGS.format(apps=apps, project_id=project.project_id, rele=rele)
    project.write("settings.py", code)


def rele_cli(project: Project, *arguments: str) -> tuple[int, str]:
    return project.run("-m", "rele", *arguments)


def manage(project: Project, *arguments: str) -> tuple[int, str]:
    return project.run("-m", "django", *arguments)


def test_each_block_of_python_says_which_file_it_goes_into() -> None:
    assert len(blocks_of(EXTENDING)) == EXTENDING.count(".. code::")
    assert len(files_of(EXTENDING)) == EXTENDING.count(".. code:: python")


def test_each_field_of_a_room_is_described() -> None:
    described = re.findall(r"^``(\w+)``\n    ", EXTENDING, flags=re.MULTILINE)

    assert described == [field.name for field in dataclasses.fields(Room)]


def test_a_package_adds_a_backend_a_setting_and_a_command(plain: Project) -> None:
    assert "Show published messages." in rele_cli(plain, "--help")[1]
    for number in range(3):
        assert rele_cli(plain, "publish", "orders", str(number)) == (0, "in the journal\n")

    assert rele_cli(plain, "journal", "--last", "2") == (0, "1\n2\n")
    assert (plain.folder / "journal.txt").read_text() == "0\n1\n2\n"


def test_the_checks_of_a_package_stop_a_worker(plain: Project) -> None:
    plain.write_settings(JOURNAL="no-such-folder/journal.txt")

    status, output = rele_cli(plain, "run")

    assert (status, output) == (
        1,
        (
            "Error: RELE['JOURNAL'] = 'no-such-folder/journal.txt' is in a folder that does not "
            "exist. Create the folder.\n"
        ),
    )


def test_a_setting_of_a_package_of_the_wrong_type_stops_a_worker(plain: Project) -> None:
    plain.write_settings(JOURNAL=3)

    status, output = rele_cli(plain, "run")

    assert status == 1
    assert "RELE['JOURNAL'] must be a path, not 3. Write 'JOURNAL': 'journal.txt'." in output


def test_what_a_package_runs_beside_a_worker_begins_with_its_option(plain: Project) -> None:
    worker = plain.start("-m", "rele", "run", "--report-journal")

    output = read_until(worker.stdout, "Pulling messages")

    if "The journal has 0 bytes." not in output:  # its thread may be slower than the worker
        read_until(worker.stdout, "The journal has 0 bytes.")
    worker.terminate()
    assert worker.wait(timeout=20) == 0


def test_nothing_runs_beside_a_worker_without_the_option(plain: Project) -> None:
    worker = plain.start("-m", "rele", "run")
    output = read_until(worker.stdout, "Pulling messages")
    worker.terminate()

    assert worker.stdout is not None
    assert "The journal has" not in output + worker.stdout.read()
    assert worker.wait(timeout=20) == 0


def test_django_sees_the_package_too(shop: Project) -> None:
    backend = "'PUBLISHER_BACKEND': 'journal.backend.JournalBackend', "
    write_settings(shop, rele=backend)
    assert manage(shop, "rele", "publish", "orders", "7") == (0, "in the journal\n")
    assert manage(shop, "rele", "journal") == (0, "7\n")
    assert "--report-journal" in manage(shop, "runrele", "--help")[1]

    write_settings(shop, rele=f"{backend} 'JOURNAL': 'none/journal.txt'")
    status, output = manage(shop, "check")

    assert status == 1
    assert "(journal.E001) RELE['JOURNAL'] = 'none/journal.txt' is in a folder" in output


def test_an_app_adds_a_setting_with_a_check_and_a_command(shop: Project) -> None:
    assert manage(shop, "check") == (0, "System check identified no issues (0 silenced).\n")
    assert manage(shop, "rele", "audit") == (0, "1 entries\n")
    for value, expected in {
        "400": "(audit.W001) RELE['AUDIT_DAYS'] keeps entries for more than a year.",
        "0": "(rele.E003) RELE['AUDIT_DAYS'] is out of range",
    }.items():
        write_settings(shop, rele=f"'AUDIT_DAYS': {value},")

        assert expected in manage(shop, "check")[1]


def test_what_an_app_runs_beside_a_worker_begins_with_it_and_ends_after_it(shop: Project) -> None:
    worker = shop.start("-m", "django", "runrele")
    output = read_until(worker.stdout, "Pulling messages")
    worker.terminate()

    assert "The audit runs beside the worker.\n" in output
    assert worker.stdout is not None
    assert worker.stdout.read().endswith("The audit has ended.\n")
    assert worker.wait(timeout=20) == 0


def test_an_app_with_an_entry_point_is_known_before_it_is_installed(
    shop: Project, site: Path
) -> None:
    write_settings(shop, apps="", rele="'AUDIT_DAYS': 10,")
    assert "(rele.W001) RELE has the unknown setting 'AUDIT_DAYS'." in manage(shop, "check")[1]

    write_metadata(site, "audit", audit="audit.apps:ROOM")

    status, output = manage(shop, "check")
    assert status == 0
    assert "(rele.W008) RELE has the setting 'AUDIT_DAYS' of 'audit'" in output
    assert "Add 'audit' to INSTALLED_APPS" in output
    status, output = manage(shop, "rele", "audit")
    assert status == 1
    assert "`rele audit` needs an app that is not installed. Add 'audit' to INSTALLED" in output


def test_a_package_that_cannot_be_imported_stops_a_worker(plain: Project, site: Path) -> None:
    (site / "journal" / "room.py").write_text("import no_such_module")

    status, output = rele_cli(plain, "run")

    assert status == 1
    assert output.startswith(
        "Error: The room 'journal' cannot be used: ModuleNotFoundError: No module named "
        "'no_such_module'."
    )
    assert rele_cli(plain, "--help")[0] == 0
