from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock, patch

import pytest

from rele.config import Config
from rele.engine.connection import Connection
from rele.exceptions import NoProjectError, ResourceError
from rele.project.comparison import bring_about, compare
from rele.resources import Plan
from rele.subscription import Subscription
from rele.worker import NotConnectionError

PHOTOS = Subscription(print, "photos")


@pytest.fixture
def subscriber(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    """What makes the stand-in for a Subscriber, on a server that can be reached."""
    monkeypatch.setattr("rele.worker.check_internet_connection", Mock(return_value=True))
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")
    with patch("rele.project.comparison.Subscriber.over") as subscriber:
        subscriber.return_value.resources.return_value.plan.return_value = Plan()
        yield subscriber


def settings(**more: Any) -> Config:
    return Config({"GC_PROJECT_ID": "rele", **more})


def test_the_comparison_is_made_by_the_settings(subscriber: Mock) -> None:
    config = settings(ACK_DEADLINE=20, GC_STORAGE_REGION=["europe-west1"], CLIENT_OPTIONS={"a": 1})

    assert compare(config, [PHOTOS]).plan == Plan()

    subscriber.assert_called_once_with(
        Connection("rele", None, {"a": 1}, ["europe-west1"], 20, None)
    )
    subscriber.return_value.resources.assert_called_once_with("rele", config.subscription_defaults)
    subscriber.return_value.close.assert_called_once_with()


def test_orphans_are_looked_for_only_under_a_prefix(subscriber: Mock) -> None:
    orphans = subscriber.return_value.resources.return_value.orphans
    orphans.return_value = ["old"]

    assert compare(settings(), [PHOTOS]).orphans == ()
    assert compare(settings(SUB_PREFIX="shop"), [PHOTOS]).orphans == ["old"]
    orphans.assert_called_once_with("shop", [PHOTOS])


def test_a_refusal_to_list_orphans_is_shown_beside_the_plan(subscriber: Mock) -> None:
    orphans = subscriber.return_value.resources.return_value.orphans
    orphans.side_effect = ResourceError("refused")

    comparison = compare(settings(SUB_PREFIX="shop"), [PHOTOS])

    assert (comparison.plan, comparison.complaint) == (Plan(), "refused")


def test_what_is_planned_is_brought_about(subscriber: Mock) -> None:
    resources = subscriber.return_value.resources.return_value
    tell = Mock()

    assert bring_about(settings(RESOURCES="ignore"), [PHOTOS], tell) is resources.plan.return_value

    resources.apply.assert_called_once_with(resources.plan.return_value, tell)


Look = Callable[[Config], object]
LOOKS = [
    pytest.param(lambda config: compare(config, []), id="compare"),
    pytest.param(lambda config: bring_about(config, [], print), id="bring_about"),
]


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_is_asked_where_nobody_can_be_reached(subscriber: Mock, look: Look) -> None:
    with patch("rele.worker.check_internet_connection", return_value=False):
        with pytest.raises(NotConnectionError, match="localhost:1 within 10 s"):
            look(settings())

    subscriber.assert_not_called()


@pytest.mark.parametrize("look", LOOKS)
def test_without_a_project_nobody_is_asked(
    subscriber: Mock, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST")
    monkeypatch.setattr("rele.config.get_google_defaults", lambda: (None, None))

    with pytest.raises(NoProjectError):
        look(Config({}))

    subscriber.assert_not_called()
