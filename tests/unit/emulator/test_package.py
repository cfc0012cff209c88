"""The package's public names."""

from __future__ import annotations

import pytest

import rele.emulator
from rele.emulator.exceptions import BindError, EmulatorError, PortInUseError


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
