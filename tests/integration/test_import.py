"""What is loaded in a process of its own by importing a part of Relé."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

SAY_GOOGLE = """
import sys
print(sorted(name for name in sys.modules if name.split(".")[0] in ("google", "grpc")))
"""


def google_modules_after(code: str) -> str:
    """What a new process says of Google's modules, having run ``code``."""
    completed = subprocess.run(
        [sys.executable, "-c", code + SAY_GOOGLE],
        cwd=REPOSITORY,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "testproject.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return completed.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import rele",
        "from rele import config, publish, setup, sub, Callback, Subscription",
        "from django.core import management as m; m.execute_from_command_line(['', 'check'])",
    ],
    ids=["import rele", "declare and publish", "manage.py check"],
)
def test_no_google_module_is_loaded_by(code: str) -> None:
    assert google_modules_after(code) == "[]"


def test_googles_modules_are_noticed() -> None:
    assert "google.cloud.pubsub_v1" in google_modules_after("from rele import Publisher")


def test_googles_client_is_not_loaded_for_an_engine_of_our_own() -> None:
    code = """
import os, rele
os.environ["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:1"
rele.setup({"ENGINE": "rele"})
rele.publishing.get_publisher()
"""

    modules = google_modules_after(code)

    assert "grpc" in modules
    assert "google.cloud.pubsub_v1" not in modules


def test_the_modules_can_be_reached_from_the_package() -> None:
    code = "import rele; rele.client.Publisher; rele.publishing.publish; rele.worker.Worker"

    assert "google.cloud.pubsub_v1" in google_modules_after(code)


def test_python_m_rele_is_the_command_line() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "rele", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert completed.returncode == 0
    assert completed.stdout.startswith("usage: rele-cli")


DECLARE_WITHOUT_TYPING_EXTENSIONS = """
import sys
sys.modules["typing_extensions"] = None
import rele
rele.sub("photos", threads=2)(lambda data, **attributes: None)
"""


@pytest.mark.parametrize("arguments", [(), ("-OO",)], ids=["plain", "without docstrings"])
def test_a_declaration_needs_no_typing_extensions_and_no_docstrings(
    arguments: tuple[str, ...],
) -> None:
    subprocess.run(
        [sys.executable, *arguments, "-c", DECLARE_WITHOUT_TYPING_EXTENSIONS],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=True,
    )
