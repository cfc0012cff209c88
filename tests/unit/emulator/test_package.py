"""The package's public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rele.emulator
from rele.emulator.exceptions import BindError, EmulatorError, PortInUseError


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


def test_every_public_name_is_there() -> None:
    for name in rele.emulator.__all__:
        assert getattr(rele.emulator, name) is not None
    assert set(rele.emulator.__all__) <= set(dir(rele.emulator))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = rele.emulator.nope


def test_a_taken_port_says_what_to_do() -> None:
    error = PortInUseError("127.0.0.1:8085")

    assert isinstance(error, BindError)
    assert isinstance(error, EmulatorError)
    assert "127.0.0.1:8085" in str(error)
    assert "choose another port" in str(error)
