"""Transactions of handlers, with the middleware around them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.db import transaction

import rele
from rele.subscription import Subscription
from rele.testing import deliver
from testproject.activity.models import Activity

numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _middleware(transactional_db: None) -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]})


def record(data: str, **attributes: Any) -> None:
    Activity.objects.create(photo=next(numbers), text=data)


INNER = Subscription(record, "inner")


def test_an_atomic_block_is_not_cut_by_a_message_within_it() -> None:
    with transaction.atomic():
        record("before")
        assert deliver(INNER, "within").acked
        record("after")
        assert Activity.objects.count() == 3
        transaction.set_rollback(True)

    assert Activity.objects.count() == 0


def test_a_handler_that_fails_in_its_atomic_block_leaves_nothing() -> None:
    @transaction.atomic
    def fail(data: str, **attributes: Any) -> None:
        record(data)
        raise ZeroDivisionError

    assert deliver(Subscription(fail, "orders"), "gone").nacked

    assert Activity.objects.count() == 0


def test_a_handler_that_succeeds_has_committed() -> None:
    assert deliver(Subscription(transaction.atomic(record), "orders"), "kept").acked

    assert [activity.text for activity in Activity.objects.all()] == ["kept"]
