"""What is released: the archives that are built from a checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from email import message_from_string

import pytest

from tests.support.project import REPOSITORY

BUILD = "from setuptools import build_meta; import sys; print(build_meta.build_sdist(sys.argv[1]))"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> tarfile.TarFile:
    folder = tmp_path_factory.mktemp("sdist")
    checkout = folder / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=checkout, check=True)
    [archive] = folder.glob("*.tar.gz")
    return tarfile.open(archive)


def _paths(sdist: tarfile.TarFile) -> set[str]:
    return {name.partition("/")[2] for name in sdist.getnames()}


def test_the_source_distribution_has_the_manual_and_the_examples(sdist: tarfile.TarFile) -> None:
    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("docs", "examples")
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in {".rst", ".py"}
    }

    assert {"CHANGELOG.rst", "README.rst", "LICENSE"} | expected <= _paths(sdist)


def test_the_archive_has_the_templates_and_the_styles_of_the_admin(sdist: tarfile.TarFile) -> None:
    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "rele").rglob("*")
        if path.suffix in {".html", ".css", ".js"}
    }

    assert len(expected) == 24
    assert expected <= _paths(sdist)


def test_the_package_says_where_its_manual_and_its_source_are(sdist: tarfile.TarFile) -> None:
    [name] = [name for name in sdist.getnames() if name.count("/") == 1 and "PKG-INFO" in name]
    member = sdist.extractfile(name)
    assert member is not None
    metadata = message_from_string(member.read().decode())

    labels = {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])}
    assert {"Documentation", "Changelog", "Source", "Issues"} <= labels
    assert "Framework :: Django :: 6.1" in metadata.get_all("Classifier", [])
