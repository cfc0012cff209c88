"""What the system checks say of the databases of outbox and inbox, without asking them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, run_checks
from django.core.checks import Warning as CheckWarning

from rele import sub
from rele.declaration.subscription import Subscription
from rele.management import project
from rele.project.loading import load_project

POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}
MARIADB = {"ENGINE": "django.db.backends.mysql", "NAME": "shop"}


@sub(topic="orders", threads=3)
def ship(data: Any, **attributes: Any) -> None: ...


@sub(topic="payments")
def pay(data: Any, **attributes: Any) -> None: ...


@sub(topic="mails")
async def send(data: Any, **attributes: Any) -> None: ...


@sub(topic="news")
async def tell(data: Any, **attributes: Any) -> None: ...


Check = Callable[..., list[CheckMessage]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run Relé's checks on a project with the default database and some subscriptions."""

    def check(database: dict[str, Any], *subscriptions: Subscription) -> list[CheckMessage]:
        monkeypatch.setattr(django_settings, "DATABASES", {"default": database})
        rele = {"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"], "ENGINE": "rele"}
        loaded = load_project(rele, list)
        monkeypatch.setattr(
            project,
            "load_project",
            lambda *_: type(loaded)(loaded.config, subscriptions, loaded.problems),
        )
        return run_checks(tags=["rele"])

    return check


@pytest.mark.parametrize(
    ("pool", "size"),
    [(True, 4), ({"min_size": 5}, 5), ({"min_size": 1, "max_size": 5}, 5)],
)
def test_w012_a_pool_without_a_connection_for_the_relay(check: Check, pool: Any, size: int) -> None:
    database = {**POSTGRES, "OPTIONS": {"pool": pool}}

    assert check(database, ship, pay, send, tell) == [
        CheckWarning(
            f"The pool of the database 'default' has at most {size} connections. A worker's "
            "handlers may use 6, one for each thread, and the relay of `runrele --relay` uses one "
            "more.",
            "Set OPTIONS['pool']['max_size'] to 7 or more.",
            id="rele.W012",
        )
    ]


@pytest.mark.parametrize("options", [{}, {"pool": {}}, {"pool": False}, {"pool": {"max_size": 7}}])
def test_one_with_enough_or_none_at_all_is_right(check: Check, options: dict[str, Any]) -> None:
    assert check({**POSTGRES, "OPTIONS": options}, ship, pay, send, tell) == []


def test_without_a_worker_a_pool_is_right(check: Check) -> None:
    assert check({**POSTGRES, "OPTIONS": {"pool": True}}) == []


@pytest.mark.parametrize("level", ["read uncommitted", "READ UNCOMMITTED"])
def test_e013_a_database_that_shows_what_is_not_committed(check: Check, level: str) -> None:
    assert check({**MARIADB, "OPTIONS": {"isolation_level": level}}) == [
        Error(
            "The database 'default' has the isolation level READ UNCOMMITTED: messages would be "
            "sent, or taken for handled, whose transaction is rolled back.",
            "Set OPTIONS['isolation_level'] to 'read committed' in DATABASES.",
            id="rele.E013",
        )
    ]


@pytest.mark.parametrize("level", [None, "read committed", "repeatable read", "serializable"])
def test_each_other_isolation_level_is_right(check: Check, level: str | None) -> None:
    assert check({**MARIADB, "OPTIONS": {"isolation_level": level}}) == []
    assert check(MARIADB) == []
