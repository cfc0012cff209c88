"""What is loaded in a process of its own by importing a part of the embedded server."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_importing_it_loads_nothing_heavy() -> None:
    script = (
        "import sys, rele.emulator\n"
        "print([name for name in ('grpc', 'google.pubsub_v1', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_the_server_needs_nothing_of_googles_client_library() -> None:
    script = (
        "import sys, rele.emulator.foreground, rele.emulator.embedded\n"
        "print([name for name in sys.modules if name in ('proto', 'requests')"
        " or name.startswith(('google.a', 'google.cloud', 'google.pubsub'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("first", ["rele.emulator.wire.classes", "google.pubsub_v1"])
def test_both_can_be_imported_in_one_process(first: str) -> None:
    script = (
        f"import {first}, rele.emulator.wire.classes, google.pubsub_v1\n"
        "print(google.pubsub_v1.Topic.pb() is rele.emulator.wire.classes.Topic)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::FutureWarning", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "False\n"
