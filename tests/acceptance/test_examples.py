"""The examples, run as their READMEs say."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request

import pytest

from tests.support.project import REPOSITORY, Project, read_until
from tests.support.servers import free_port, wait_for_port


@pytest.fixture
def example(request: pytest.FixtureRequest, project: Project) -> Project:
    """The named example, copied into the project's folder."""
    (project.folder / "settings.py").unlink()
    shutil.copytree(REPOSITORY / "examples" / request.param, project.folder, dirs_exist_ok=True)
    return project


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("example", ["plain"], indirect=True)
def test_plain_python(example: Project) -> None:
    worker = example.start("-m", "rele", "run")
    read_until(worker.stdout, "Pulling messages")

    status, output = example.run("write.py")

    assert (status, output) == (0, "")
    read_until(worker.stdout, "Rain: 4 words, by guido")
    stop(worker)


@pytest.mark.parametrize("example", ["flask"], indirect=True)
def test_flask(example: Project) -> None:
    worker = example.start("worker.py")
    read_until(worker.stdout, "Pulling messages")
    port = free_port()
    example.start("-m", "flask", "run", "--port", str(port))
    wait_for_port(port)

    for order in ({"id": 1, "total": 5, "country": "FR"}, {"id": 42, "total": 10, "country": "ES"}):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/orders",
            data=json.dumps(order).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 202

    output = read_until(worker.stdout, "Invoice for order 42: 10 EUR")
    assert "order 1" not in output
    stop(worker)


@pytest.mark.parametrize("name", ["plain", "flask"])
def test_each_readme_names_files_that_are_there(name: str) -> None:
    folder = REPOSITORY / "examples" / name
    words = (folder / "README.rst").read_text(encoding="utf-8").split()

    named = [word for word in words if word.endswith(".py")]

    assert named
    assert all((folder / word).is_file() for word in named)
