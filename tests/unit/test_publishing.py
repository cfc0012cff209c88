from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

import rele
from rele import config as configuration
from rele import middleware, publishing
from rele.exceptions import ConfigurationError, NoProjectError
from rele.runtime.in_use import IN_USE
from tests.support.backends import HeldBackend
from tests.support.in_use import without_django

REPOSITORY = Path(__file__).parents[2]

made: list[HeldBackend] = []


class NotedBackend(HeldBackend):
    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.settles_at_flush = True
        self.closes = 0
        self.closed = threading.Event()
        made.append(self)

    def close(self, timeout: float | None = None) -> None:
        assert all(future.done() for future in self.futures)
        self.closes += 1

    def release(self) -> None:
        assert self.closes
        self.closed.set()


class Noted(middleware.BaseMiddleware):
    """Notes with which keyword it was set up, at each publish; may keep a publish waiting."""

    heard: ClassVar[list[str]] = []
    blocks = False
    entered = threading.Event()
    waits = threading.Event()

    def setup(self, config: Any, **kwargs: Any) -> None:
        self._app = kwargs["flask_app"]

    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        self.heard.append(self._app)
        if self.blocks:
            self.entered.set()
            assert self.waits.wait(10)


class BrokenBackend(HeldBackend):
    def __init__(self, config: Any = None) -> None:
        raise ConfigurationError("no broker")


SETTINGS = {
    "MIDDLEWARE": [],
    "PUBLISHER_BACKEND": f"{__name__}.NotedBackend",
    "PUBLISHER_TIMEOUT": 0.01,
}


@pytest.fixture(autouse=True)
def _forget_backends() -> Iterator[None]:
    made.clear()
    Noted.heard.clear()
    yield
    for backend in made:
        backend.settle_the_rest()


def test_setup_makes_no_publisher() -> None:
    rele.setup(SETTINGS)

    assert made == []


def test_the_publisher_is_made_at_the_first_publish_and_kept() -> None:
    config = rele.setup({**SETTINGS, "APP_NAME": "shop"})

    futures = [rele.publish(topic="photos", data=n, lang="en") for n in range(3)]

    [backend] = made
    assert backend.config is config
    assert [message.data for message in backend.messages] == [b"0", b"1", b"2"]
    assert backend.messages[0].topic == "photos"
    assert backend.messages[0].attributes["lang"] == "en"
    assert futures == backend.futures


def test_a_task_publishes_through_the_same_publisher() -> None:
    rele.setup(SETTINGS)

    async def main() -> list[Future[str]]:
        one = await rele.apublish("photos", 0, timeout=0, raise_exception=False, lang="en")
        return [one, *await rele.apublish_many("photos", [1, 2], timeout=0, raise_exception=False)]

    futures = asyncio.run(main())

    [backend] = made
    assert futures == backend.futures
    assert [message.data for message in backend.messages] == [b"0", b"1", b"2"]
    assert backend.messages[0].attributes["lang"] == "en"


def test_many_threads_make_one_publisher() -> None:
    rele.setup(SETTINGS)
    together = threading.Barrier(8)

    def publish(number: int) -> None:
        together.wait(10)
        rele.publish("photos", number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, range(8)))

    [backend] = made
    assert len(backend.messages) == 8


def test_the_settings_of_the_publisher_are_those_of_rele() -> None:
    rele.setup(
        {
            **SETTINGS,
            "PUBLISHER_BLOCKING": True,
            "ENCODER_PATH": "django.core.serializers.json.DjangoJSONEncoder",
        }
    )

    with pytest.raises(FutureTimeoutError):
        rele.publish("photos", Decimal("1.5"))

    assert made[0].flushes == [0]
    assert made[0].messages[0].data == b'"1.5"'


class TestSetupAgain:
    def test_with_equal_settings_keeps_the_publisher(self) -> None:
        for number in range(3):
            rele.setup({**SETTINGS, "CLIENT_OPTIONS": {"api_endpoint": "x"}})
            rele.publish("photos", number)

        [backend] = made
        assert [message.data for message in backend.messages] == [b"0", b"1", b"2"]
        assert backend.closes == 0

    def test_registers_the_middleware_anew_with_the_new_keywords(self) -> None:
        settings = {**SETTINGS, "MIDDLEWARE": [f"{__name__}.Noted"]}
        for app in ("first", "second"):
            rele.setup(settings, flask_app=app)
            rele.publish("photos", app)

        assert len(made) == 1
        assert Noted.heard == ["first", "second"]

    def test_with_other_settings_flushes_and_closes_the_former(self) -> None:
        rele.setup(SETTINGS)
        future = rele.publish("photos", 1)
        made[0].outcome = "message-1"

        rele.setup({**SETTINGS, "APP_NAME": "shop"})
        rele.publish("photos", 2)

        assert future.result(timeout=0) == "message-1"
        assert (made[0].closes, made[1].closes) == (1, 0)
        assert [backend.messages[0].data for backend in made] == [b"1", b"2"]

    def test_settings_that_were_changed_in_place_are_others(self) -> None:
        settings = {**SETTINGS, "CLIENT_OPTIONS": {"api_endpoint": "x"}}
        rele.setup(settings)
        rele.publish("photos", 1)
        settings["CLIENT_OPTIONS"]["api_endpoint"] = "y"  # type: ignore[index]
        made[0].outcome = "message-1"

        rele.setup(settings)
        rele.publish("photos", 2)

        assert len(made) == 2

    def test_another_server_in_the_environment_needs_another_publisher(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rele.setup(SETTINGS)
        rele.publish("photos", 1)
        made[0].outcome = "message-1"
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")

        rele.setup(SETTINGS)
        rele.publish("photos", 2)

        assert len(made) == 2

    def test_what_the_former_cannot_send_at_once_is_sent_before_it_closes(self) -> None:
        rele.setup(SETTINGS)
        future = rele.publish("photos", 1)
        [former] = made

        rele.setup({**SETTINGS, "APP_NAME": "shop"})
        assert (future.done(), former.closes) == (False, 0)
        former.settle_the_rest()

        assert former.closed.wait(10)
        assert future.result(timeout=0) == "message"

    def test_a_publish_under_way_in_the_former_is_not_lost(self) -> None:
        Noted.waits = threading.Event()
        rele.setup({**SETTINGS, "MIDDLEWARE": [f"{__name__}.Noted"]}, flask_app="first")
        rele.publish("photos", 0)
        [former] = made
        former.outcome = "message"
        Noted.heard.clear()
        with ThreadPoolExecutor(1) as threads:
            Noted.blocks = True
            publishing_ = threads.submit(rele.publish, "photos", 1)
            assert Noted.entered.wait(10)
            Noted.blocks = False
            rele.setup({**SETTINGS, "MIDDLEWARE": []})
            assert former.closes == 0
            Noted.waits.set()
            future = publishing_.result(10)

        assert former.closed.wait(10)
        assert future.result(timeout=0) == "message"
        assert [message.data for message in former.messages] == [b"0", b"1"]

    def test_a_publish_that_has_found_the_former_goes_to_the_new_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rele.setup(SETTINGS)
        publishing.get_publisher()
        process_id = os.getpid()

        def set_up_meanwhile() -> int:
            """As another thread may do, right after a publish has looked the publisher up."""
            monkeypatch.undo()
            rele.setup({**SETTINGS, "APP_NAME": "shop"})
            return process_id

        monkeypatch.setattr(os, "getpid", set_up_meanwhile)
        rele.publish("photos", 1)

        assert [len(backend.messages) for backend in made] == [0, 1]

    def test_in_a_forked_child_leaves_the_publisher_of_the_parent_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rele.setup(SETTINGS)
        rele.publish("photos", 1)

        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            rele.setup({**SETTINGS, "APP_NAME": "shop"})

        assert (made[0].flushes, made[0].closes) == ([], 0)


def test_without_setup_the_settings_of_the_project_count(settings: Any) -> None:
    settings.RELE = {**SETTINGS, "MIDDLEWARE": ["rele.middleware.BaseMiddleware"]}

    rele.publish("photos", 1)

    assert len(made) == 1
    assert [type(m) for m in IN_USE.middleware or ()] == [middleware.BaseMiddleware]


def test_without_any_settings_it_says_how_to_set_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_django(monkeypatch)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match="Relé is not set up") as raised:
        rele.publish("photos", 1)
    assert isinstance(raised.value, ValueError)


def test_without_a_project_it_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(configuration, "get_google_defaults", lambda: (None, None))
    rele.setup({"MIDDLEWARE": []})

    with pytest.raises(NoProjectError, match=r"GC_PROJECT_ID.*GOOGLE_CLOUD_PROJECT.*emulator"):
        rele.publish("photos", 1)


def test_a_publisher_that_could_not_be_made_is_tried_again() -> None:
    config = rele.setup({**SETTINGS, "PUBLISHER_BACKEND": f"{__name__}.BrokenBackend"})
    with pytest.raises(ConfigurationError, match="no broker"):
        rele.publish("photos", 1)

    config.publisher_backend = f"{__name__}.NotedBackend"
    rele.publish("photos", 1)

    assert len(made) == 1


def test_another_process_has_a_publisher_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rele.setup(SETTINGS)
    rele.publish("photos", 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        rele.publish("photos", 2)
        rele.publish("photos", 3)

    assert [len(backend.messages) for backend in made] == [1, 2]


class TestFlush:
    def test_sends_what_is_under_way(self) -> None:
        rele.setup(SETTINGS)
        future = rele.publish("photos", 1)
        made[0].outcome = "message-1"

        assert publishing.flush(10)

        assert future.result(timeout=0) == "message-1"

    def test_waits_no_longer_than_the_publishers_timeout(self) -> None:
        rele.setup(SETTINGS)
        rele.publish("photos", 1)

        assert not publishing.flush()

        assert made[0].flushes == [0.01]

    def test_has_nothing_to_do_before_the_first_publish(self) -> None:
        rele.setup(SETTINGS)

        assert publishing.flush()

        assert made == []

    def test_leaves_the_publishes_of_the_parent_process_to_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rele.setup(SETTINGS)
        rele.publish("photos", 1)

        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            assert publishing.flush()

        assert made[0].flushes == []


class TestForget:
    def test_flushes_and_forgets_publisher_and_middleware(self, settings: Any) -> None:
        settings.RELE = SETTINGS
        rele.setup({**SETTINGS, "MIDDLEWARE": ["rele.middleware.BaseMiddleware"]})
        future = rele.publish("photos", 1)
        made[0].outcome = "message-1"

        publishing.forget()

        assert future.done()
        rele.publish("photos", 2)
        assert IN_USE.middleware == []
        assert len(made) == 2

    def test_changed_django_settings_count_at_the_next_publish(self, settings: Any) -> None:
        settings.RELE = {**SETTINGS, "APP_NAME": "old"}
        future = rele.publish("photos", 1)
        made[0].outcome = "message-1"

        settings.RELE = {**SETTINGS, "APP_NAME": "new"}
        assert future.done()
        rele.publish("photos", 2)

        assert [backend.config.app_name for backend in made] == ["old", "new"]

    def test_another_setting_of_django_changes_nothing(self, settings: Any) -> None:
        settings.RELE = SETTINGS
        rele.publish("photos", 1)

        settings.TIME_ZONE = "Europe/Paris"
        rele.publish("photos", 2)

        assert len(made) == 1
