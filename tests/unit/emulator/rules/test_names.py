"""Resource names."""

from __future__ import annotations

import pytest

from rele.emulator.rules import names
from rele.emulator.rules.refusals import InvalidArgumentError


@pytest.mark.parametrize("topic", ["abc", "Googfoo", "a~+%bc._-", "a" * 255])
def test_good_topic_names(topic: str) -> None:
    names.check_topic(f"projects/p/topics/{topic}", "name")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "foo",
        "topics/foo",
        "projects/p/topics/",
        "projects//topics/abc",
        "projects/p/subscriptions/abc",
        "projects/p/topics/a/b",
        "projects/p/topics/abc\n",
        names.DELETED_TOPIC,
    ]
    + [
        f"projects/p/topics/{topic}"
        for topic in ("ab", "1abc", "-abc", "googfoo", "a b c", "a*bc", "éééé", "a" * 256)
    ],
)
def test_bad_topic_names_are_refused_with_the_field(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"(?s)Invalid resource name.*topic\.name must"):
        names.check_topic(name, "topic.name")


def test_subscriptions_are_distinguished_from_topics() -> None:
    names.check_subscription("projects/p/subscriptions/abc", "name")
    with pytest.raises(InvalidArgumentError):
        names.check_subscription("projects/p/topics/abc", "name")


@pytest.mark.parametrize("name", ["", "p", "projects/", "projects/p/topics/abc"])
def test_bad_projects(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="project must be projects/PROJECT"):
        names.check_project(name, "project")


def test_a_made_up_subscription_is_in_the_project_of_its_topic() -> None:
    first, second = (names.made_up_subscription("projects/p/topics/abc") for _ in range(2))

    names.check_subscription(first, "name")
    assert first.startswith("projects/p/subscriptions/")
    assert first != second
