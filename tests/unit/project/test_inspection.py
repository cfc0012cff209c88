"""What :mod:`rele.project.inspection` adds to the checks, which are tested by their ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rele import Subscription
from rele.config import Config
from rele.project.inspection import (
    find_subscriptions,
    problems_of_settings,
    problems_of_subscriptions,
)
from tests.support.modules import forgotten, write_file

WriteModule = Callable[[str, str], str]

HANDLER = "from rele import Subscription, sub\ndef handle(data, **attributes): return 'handled'\n"


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Write a module that can be imported until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(path: str, code: str) -> str:
        write_file(tmp_path.joinpath(*path.split(".")).with_suffix(".py"), code)
        return path

    with forgotten(tmp_path):
        yield write


def found(*paths: str, **settings: Any) -> tuple[list[str], list[str]]:
    """The names of the subscriptions in the modules, and what is wrong."""
    subscriptions, problems = find_subscriptions(paths, Config(settings))
    return [subscription.name for subscription in subscriptions], list(map(str, problems))


class TestFindSubscriptions:
    def test_applies_prefix_and_filters(self, write_module: WriteModule) -> None:
        path = write_module("subs.photos", f"{HANDLER}photos = sub('photos')(handle)\n")

        [photos], problems = find_subscriptions(
            [path], Config({"SUB_PREFIX": "shop", "FILTER_SUBS_BY": lambda attrs: "id" in attrs})
        )

        assert problems == []
        assert photos.name == "shop-photos"
        assert (photos(1), photos(1, id="x")) == (None, "handled")

    def test_takes_one_that_another_module_imports_once(self, write_module: WriteModule) -> None:
        photos = write_module("subs.photos", f"{HANDLER}photos = sub('photos')(handle)\n")
        more = write_module("subs.more", f"from {photos} import photos\n")

        assert found(photos, more) == (["photos"], [])

    def test_takes_a_class_and_its_instance_once(self, write_module: WriteModule) -> None:
        path = write_module(
            "subs.photos",
            "from rele import Subscription\n"
            "class Photos(Subscription):\n"
            "    def __init__(self): super().__init__(self.handle, 'photos')\n"
            "    def handle(self, data, **attributes): ...\n"
            "photos = Photos()\n",
        )

        assert found(path) == (["photos"], [])

    def test_two_of_one_name_are_one_problem_that_names_both(
        self, write_module: WriteModule
    ) -> None:
        one = write_module("subs.one", f"{HANDLER}photos = sub('photos')(handle)\n")
        two = write_module("subs.two", f"{HANDLER}photos = sub('photos')(handle)\n")

        _, [problem] = found(one, two)

        assert "'photos': subs.one.handle and subs.two.handle. Give one of them a suf" in problem

    def test_a_class_that_cannot_be_made_is_a_problem_at_its_line(
        self, write_module: WriteModule, tmp_path: Path
    ) -> None:
        path = write_module(
            "subs.photos",
            "from rele import Subscription\n"
            "class Photos(Subscription):\n"
            "    def __init__(self):\n"
            "        raise ValueError('no topic')\n",
        )

        _, [problem] = found(path)

        assert problem.startswith(
            "The subs module 'subs.photos' cannot be imported: RuntimeError: The subscription "
            "subs.photos.Photos cannot be made: ValueError: no topic "
            f"({tmp_path / 'subs' / 'photos.py'}, line 4). Fix it"
        )

    def test_the_line_is_the_projects_own_and_not_the_one_in_rele(
        self, write_module: WriteModule, tmp_path: Path
    ) -> None:
        path = write_module("subs.photos", f"{HANDLER}\nsub('photos')(lambda: None)\n")

        _, [problem] = found(path)

        assert f"({tmp_path / 'subs' / 'photos.py'}, line 4)" in problem

    def test_the_line_is_that_of_the_module_with_the_error(
        self, write_module: WriteModule, tmp_path: Path
    ) -> None:
        write_module("models", "\n\n1 / 0\n")
        path = write_module("subs.photos", "import models\n")

        _, [problem] = found(path)

        assert f"ZeroDivisionError: division by zero ({tmp_path / 'models.py'}, line 3)" in problem

    def test_one_module_with_an_error_does_not_hide_the_others(
        self, write_module: WriteModule
    ) -> None:
        broken = write_module("subs.broken", "raise SystemError('boo')\n")
        photos = write_module("subs.photos", f"{HANDLER}photos = sub('photos')(handle)\n")

        names, [problem] = found(broken, photos)

        assert names == ["photos"]
        assert "'subs.broken' cannot be imported: SystemError: boo" in problem

    def test_a_module_that_is_not_there_has_no_line(self) -> None:
        _, [problem] = found("no_such_module.subs")

        assert "ModuleNotFoundError: No module named 'no_such_module'. Fix it" in problem


def test_the_same_sub_twice_is_no_problem() -> None:
    photos = Subscription(print, "photos")

    assert problems_of_subscriptions([photos, photos]) == []


class TestMiddlewareOfTheProject:
    def test_an_error_within_its_module_is_reported(self, write_module: WriteModule) -> None:
        write_module("shop.audit", "import no_such_package\n\nclass Audit: ...\n")

        [problem] = problems_of_settings({"MIDDLEWARE": ["shop.audit.Audit"]})

        assert "ModuleNotFoundError: No module named 'no_such_package'" in problem.message

    def test_a_name_that_it_lacks_is_reported(self, write_module: WriteModule) -> None:
        write_module("shop.audit", "class Audit: ...\n")

        [problem] = problems_of_settings({"MIDDLEWARE": ["shop.audit.Audits"]})

        assert "module 'shop.audit' has no attribute 'Audits'" in problem.message

    @pytest.mark.parametrize(
        ("package", "extra"),
        [("django", "django"), ("flask", "flask"), ("prometheus_client", "prometheus")],
    )
    def test_a_package_that_an_extra_brings_is_named_with_the_extra(
        self, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
    ) -> None:
        write_module("shop.web", f"import {package}\n\nclass Audit: ...\n")
        monkeypatch.setitem(sys.modules, package, None)

        [problem] = problems_of_settings({"MIDDLEWARE": ["shop.web.Audit"]})

        assert problem.id == "rele.E004"
        assert problem.hint == f"Install it with `pip install 'rele[{extra}]'`."


class TestProblemsKnowTheirSetting:
    def test_a_value_that_names_another_setting_hides_nothing_about_that_one(self) -> None:
        problems = problems_of_settings(
            {"APP_NAME": ["MIDDLEWARE"], "MIDDLEWARE": ["no.such.Thing"]}
        )

        assert [(p.id, p.setting) for p in problems] == [
            ("rele.E002", "APP_NAME"),
            ("rele.E004", "MIDDLEWARE"),
        ]

    def test_an_unknown_key_that_looks_like_a_setting_hides_nothing(self) -> None:
        problems = problems_of_settings({"X['ENCODER_PATH']": 1, "ENCODER_PATH": "no.such.Thing"})

        assert {p.id: p.setting for p in problems} == {
            "rele.W001": "X['ENCODER_PATH']",
            "rele.E004": "ENCODER_PATH",
        }

    def test_a_value_of_the_wrong_kind_is_not_looked_at_further(self) -> None:
        [problem] = problems_of_settings({"MIDDLEWARE": "rele.contrib.LoggingMiddleware"})

        assert (problem.id, problem.setting) == ("rele.E002", "MIDDLEWARE")

    def test_a_default_of_the_subscriptions_is_about_their_setting(self) -> None:
        [problem] = problems_of_settings({"SUBSCRIPTION_DEFAULTS": {"ack_deadline": "long"}})

        assert (problem.id, problem.setting) == ("rele.E002", "SUBSCRIPTION_DEFAULTS")

    def test_of_one_that_is_stated_twice_it_is_the_older_name(self) -> None:
        [problem] = problems_of_settings(
            {"ACK_DEADLINE": 60, "SUBSCRIPTION_DEFAULTS": {"ack_deadline": 60}}
        )

        assert (problem.id, problem.setting) == ("rele.E009", "ACK_DEADLINE")
