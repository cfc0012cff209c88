"""What is published and not accepted yet."""

from __future__ import annotations

from typing import Any

import rele
from rele.contrib.prometheus.publisher import outstanding_publishes
from rele.runtime.in_use import IN_USE
from tests.support.backends import HeldBackend


class Counting(HeldBackend):
    """Knows what is outstanding."""

    outstanding = (7, 700)


def figures() -> dict[str, float]:
    return {figure.name: figure.value for figure in outstanding_publishes().figures}


def use(backend: type[HeldBackend]) -> None:
    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": f"{__name__}.{backend.__name__}"})


def test_nothing_is_outstanding_before_the_first_publish() -> None:
    use(Counting)

    assert figures() == {
        "rele_publisher_outstanding_messages": 0,
        "rele_publisher_outstanding_bytes": 0,
    }


def test_a_backend_says_what_is_outstanding() -> None:
    use(Counting)
    rele.publish("orders", 1)

    assert figures() == {
        "rele_publisher_outstanding_messages": 7,
        "rele_publisher_outstanding_bytes": 700,
    }
    _end()


def test_of_any_other_the_publishes_without_outcome_are_counted() -> None:
    use(HeldBackend)
    rele.publish("orders", 1)
    rele.publish("orders", 2)
    assert figures() == {"rele_publisher_outstanding_messages": 2}

    _end()

    assert figures() == {"rele_publisher_outstanding_messages": 0}


def _end() -> None:
    in_use: Any = IN_USE.current_publisher()
    in_use.publisher.backend.settle_the_rest()
