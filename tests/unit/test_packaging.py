"""The lowest versions that users may have are those that are tested."""

from __future__ import annotations

import configparser
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def _read(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / name, encoding="utf-8")
    return parser


def _requirements(*texts: str) -> list[str]:
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _lowest_admitted() -> dict[str, str]:
    setup = _read("setup.cfg")
    extras = setup["options.extras_require"]
    lowest = {}
    for requirement in _requirements(setup["options"]["install_requires"], *extras.values()):
        name, _, bounds = requirement.partition(" >= ")
        lowest[name] = bounds.split(",")[0]
    return lowest


def test_tox_has_an_environment_with_the_lowest_versions_that_users_may_have() -> None:
    pins = _requirements(_read("tox.ini")["testenv:py310-lowest"]["deps"])
    tested = dict(pin.split(" == ") for pin in pins)

    admitted = _lowest_admitted()

    assert admitted
    assert tested.keys() == admitted.keys()
    for name, version in admitted.items():
        assert f"{tested[name]}.".startswith(f"{version}."), name


def test_users_are_offered_no_development_tools() -> None:
    extras = _read("setup.cfg")["options.extras_require"]

    assert set(extras) == {
        "completion",
        "django",
        "fast",
        "flask",
        "monitoring",
        "opentelemetry",
        "postgres",
        "prometheus",
    }
