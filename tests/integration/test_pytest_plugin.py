"""The pytest plugin, in the pytest runs of projects that use Relé."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

RunPytest = Callable[..., str]


@pytest.fixture
def run_pytest(tmp_path: Path) -> RunPytest:
    """Run pytest over a test file in a folder of its own; what it prints."""

    def run(code: str, *arguments: str) -> str:
        (tmp_path / "test_shop.py").write_text(code)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        completed = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "rele.testing.plugin"),
                *("-p", "no:cacheprovider", *arguments),
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return completed.stdout

    return run


def test_a_project_sees_what_each_test_publishes_and_nothing_is_sent(
    run_pytest: RunPytest,
) -> None:
    output = run_pytest(
        """
import rele

def test_one(rele_messages):
    assert rele.publish("photos", {"id": 1}, lang="en").result() == "1"
    [message] = rele_messages
    assert (message.topic, message.json()) == ("photos", {"id": 1})
    assert message.attributes["lang"] == "en"

def test_another_begins_without_messages(rele_messages):
    assert rele_messages == []
    rele.publish("photos", 2)
    assert len(rele_messages) == 1

def test_without_the_fixture_it_says_how_to_set_up():
    try:
        rele.publish("photos", 3)
    except rele.exceptions.ConfigurationError as error:
        assert "not set up" in str(error)
    else:
        raise AssertionError
"""
    )

    assert output.splitlines()[-1].startswith("3 passed"), output


def test_the_fixture_is_listed_with_what_it_is(run_pytest: RunPytest) -> None:
    output = run_pytest("", "--fixtures", "-k", "nothing")

    assert "rele_messages" in output
    assert "What the test publishes, in order" in output


def test_the_plugin_loads_neither_google_nor_django(run_pytest: RunPytest) -> None:
    output = run_pytest(
        """
import sys

def test_modules():
    loaded = {name.split(".")[0] for name in sys.modules}
    assert not loaded & {"google", "grpc", "django"}, loaded
    assert "rele.testing.plugin" in sys.modules
    assert "rele.backends" not in sys.modules
"""
    )

    assert output.splitlines()[-1].startswith("1 passed"), output
