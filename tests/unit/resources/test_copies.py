"""Temporary subscriptions are deleted, however their use ends."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.retry import Retry

from rele.exceptions import ResourceError
from rele.resources.copies import copied


class Subscriptions:
    """Stands for Google's subscriber client; ``error`` follows each creation."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.created: dict[str, str] = {}
        self.is_deleted = False

    def create_subscription(self, request: dict[str, Any]) -> None:
        self.created[request["name"]] = request["topic"]
        if self.error is not None:
            raise self.error

    def delete_subscription(self, request: dict[str, str], *, retry: Retry, timeout: float) -> None:
        assert retry._timeout == timeout == 10  # seconds, which somebody waits at Ctrl-C
        del self.created[request["subscription"]]
        self.is_deleted = True


def test_it_is_in_the_given_project_though_the_topic_is_anothers() -> None:
    subscriber = Subscriptions()

    with copied(subscriber, "mine", "projects/theirs/topics/jobs") as path:
        assert path.startswith("projects/mine/subscriptions/rele-tail-")
        assert subscriber.created == {path: "projects/theirs/topics/jobs"}

    assert subscriber.is_deleted


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (exceptions.Forbidden("no"), ResourceError)],
)
def test_nothing_remains_of_an_interrupted_creation(
    error: BaseException, raised: type[BaseException]
) -> None:
    subscriber = Subscriptions(error)

    with pytest.raises(raised), copied(subscriber, "mine", "projects/mine/topics/jobs"):
        pass

    assert subscriber.is_deleted
