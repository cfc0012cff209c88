from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rele

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


@pytest.mark.parametrize("name", rele.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rele, name) is not None
    assert name in dir(rele)


def test_the_names_are_those_of_their_modules() -> None:
    from rele import client, config, publishing, subscription, worker

    assert rele.Publisher is client.Publisher
    assert rele.Subscriber is client.Subscriber
    assert rele.config is config
    assert rele.setup is config.setup
    assert rele.publish is publishing.publish
    assert rele.sub is subscription.sub
    assert rele.Subscription is subscription.Subscription
    assert rele.Callback is subscription.Callback
    assert rele.Worker is worker.Worker


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rele' has no attribute 'no_such_name'"):
        _ = rele.no_such_name


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
