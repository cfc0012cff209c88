from __future__ import annotations

from typing import Any

import pytest

from rele.config import Config
from rele.schema.settings import DEFAULTS, SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_a_right_value(name: str) -> None:
    assert SETTINGS[name].problem(name, DEFAULTS[name]) is None


@pytest.mark.parametrize("name", SETTINGS)
def test_a_problem_names_the_setting_what_it_may_be_and_what_to_write(name: str) -> None:
    problem = SETTINGS[name].problem(name, object)

    if name == "FILTER_SUBS_BY":  # a class can be called
        assert problem is None
        problem = SETTINGS[name].problem(name, "object")
    assert problem is not None
    assert problem.id == "rele.E002"
    assert problem.is_error
    assert problem.message.startswith(f"RELE[{name!r}] must be {SETTINGS[name].kind.text}, not ")
    assert problem.hint.startswith(f"Write {name!r}: ")
    assert str(problem) == f"{problem.message} {problem.hint}"


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_hint_says_to_write_can_be_written(name: str) -> None:
    problem = SETTINGS[name].problem(name, b"wrong")
    assert problem is not None
    written = problem.hint.removeprefix("Write ").removesuffix(".")

    from rele.retry_policy import RetryPolicy

    settings: dict[str, Any] = eval(f"{{{written}}}", {"RetryPolicy": RetryPolicy})

    assert SETTINGS[name].problem(name, settings[name]) is None
    assert list(settings) == [name]


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in SETTINGS for key in SETTINGS[name].keys]
)
def test_the_manual_names_each_key_of_a_dict_with_its_default(name: str, key: str) -> None:
    inner = SETTINGS[name].keys[key]

    assert f"``{key}``" in SETTINGS[name].documentation
    assert f"({inner.default}" in SETTINGS[name].documentation
    assert inner.problem(key, inner.default) is None


def test_the_configuration_has_every_default() -> None:
    config = vars(Config({}))

    for name, attribute in {
        "MIDDLEWARE": "middleware",
        "PUBLISHER_BACKEND": "publisher_backend",
        "PUBLISHER_TIMEOUT": "publisher_timeout",
        "SHUTDOWN_TIMEOUT": "shutdown_timeout",
        "THREADS_PER_SUBSCRIPTION": "threads_per_subscription",
    }.items():
        assert config[attribute] == DEFAULTS[name]
