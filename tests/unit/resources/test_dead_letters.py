from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core import exceptions

from rele.dead_letter_policy import DeadLetterPolicy
from rele.exceptions import ResourceError
from rele.resources import to_google_dead_letter_policy
from rele.subscription import Subscription
from tests.unit.resources.conftest import (
    SUBSCRIPTIONS,
    TOPICS,
    FakeProject,
    bring_about,
    photos,
    resources,
    with_dead_letters,
)

PHOTOS = f"{SUBSCRIPTIONS}photos"
TOPIC = f"{TOPICS}photos-dead-letter"
SUBSCRIPTION = f"{SUBSCRIPTIONS}photos-dead-letter"
GRANTS = (
    "Grant service-PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com, with the number of rele, "
    f"roles/pubsub.publisher on {TOPIC} and roles/pubsub.subscriber on {PHOTOS}: without both, "
    "Pub/Sub moves no dead letter."
)


def policy_of(server: FakeProject) -> tuple[str, int]:
    policy = server.subscriptions[PHOTOS].dead_letter_policy
    return policy.dead_letter_topic, policy.max_delivery_attempts


def test_the_topic_is_made_with_a_subscription_that_keeps_what_comes(server: FakeProject) -> None:
    steps = bring_about(server, with_dead_letters())

    assert steps == [
        f"create topic {TOPICS}photos",
        f"create topic {TOPIC}",
        f"create subscription {PHOTOS}. {GRANTS}",
        f"create subscription {SUBSCRIPTION}",
    ]
    assert policy_of(server) == (TOPIC, 10)
    keeper = server.subscriptions[SUBSCRIPTION]
    assert keeper.topic == TOPIC
    assert keeper.message_retention_duration == timedelta(days=31)
    assert "expiration_policy" in keeper
    assert not keeper.expiration_policy.ttl


def test_a_topic_is_made_right_before_its_subscription(server: FakeProject) -> None:
    """What is published to a topic without a subscription is lost."""
    bring_about(server, with_dead_letters())

    assert server.requests == [
        f"create topic {TOPIC}",
        f"create subscription {SUBSCRIPTION}",
        f"create topic {TOPICS}photos",
        f"create subscription {PHOTOS}",
    ]


def test_the_grants_are_logged_so_that_nobody_misses_them(
    server: FakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    bring_about(server, with_dead_letters())

    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().endswith(GRANTS)


def test_where_nothing_differs_nothing_is_logged(server: FakeProject) -> None:
    bring_about(server, with_dead_letters())
    server.requests.clear()

    assert bring_about(server, with_dead_letters()) == []


def test_an_existing_subscription_gets_it_by_an_update(server: FakeProject) -> None:
    server.add("photos")

    steps = bring_about(server, with_dead_letters())

    assert steps[-1] == (
        f"update subscription {PHOTOS}: dead_letter_policy none → {TOPIC} after 10 deliveries. "
        f"{GRANTS}"
    )
    assert server.masks == [["dead_letter_policy"]]
    assert policy_of(server) == (TOPIC, 10)
    assert server.requests[-1].startswith("update")


def test_another_update_names_no_grants(server: FakeProject) -> None:
    bring_about(server, with_dead_letters())
    server.requests.clear()

    [step] = bring_about(
        server, photos(dead_letter_policy=DeadLetterPolicy(), labels={"team": "shop"})
    )

    assert step == f"update subscription {PHOTOS}: labels none → team=shop"


def test_a_topic_of_another_project_is_made_with_its_subscription_there(
    server: FakeProject,
) -> None:
    bring_about(server, with_dead_letters("projects/graves/topics/all"))

    assert "projects/graves/topics/all" in server.topics
    assert "projects/graves/subscriptions/all" in server.subscriptions
    assert policy_of(server)[0] == "projects/graves/topics/all"


@pytest.mark.parametrize("name", ["photos-dead-letter", "somebody-elses"])
def test_a_topic_that_has_a_subscription_gets_no_other(server: FakeProject, name: str) -> None:
    server.add(name, "photos-dead-letter")

    bring_about(server, with_dead_letters())

    assert set(server.subscriptions) == {PHOTOS, SUBSCRIPTIONS + name}


def test_a_topic_that_is_there_without_one_gets_one(server: FakeProject) -> None:
    server.topics[TOPIC] = {}

    bring_about(server, with_dead_letters())

    assert f"create topic {TOPIC}" not in server.requests
    assert server.subscriptions[SUBSCRIPTION].topic == TOPIC


def test_two_subscriptions_may_share_a_topic(server: FakeProject) -> None:
    steps = bring_about(
        server,
        with_dead_letters("graves"),
        Subscription(print, "cities", dead_letter_policy=DeadLetterPolicy("graves")),
    )

    assert steps.count(f"create topic {TOPICS}graves") == 1
    assert steps.count(f"create subscription {SUBSCRIPTIONS}graves") == 1


@pytest.mark.parametrize("is_beside", [True, False])
def test_a_declaration_that_consumes_them_is_enough(server: FakeProject, is_beside: bool) -> None:
    undertaker = Subscription(print, "photos-dead-letter", suffix="undertaker")
    desired = resources(server)

    declared = [with_dead_letters()] if is_beside else [with_dead_letters(), undertaker]
    desired.apply(desired.plan(declared, others=[undertaker]))

    assert SUBSCRIPTION not in server.subscriptions


def test_a_declaration_that_cannot_consume_them_is_not(server: FakeProject) -> None:
    server.add("photos-dead-letter-undertaker", "elsewhere")

    bring_about(
        server,
        with_dead_letters(),
        Subscription(print, "photos-dead-letter", suffix="undertaker"),
    )

    assert server.subscriptions[SUBSCRIPTION].topic == TOPIC


def test_an_older_subscription_of_that_name_on_a_topic_that_is_gone_is_reported(
    server: FakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    server.add("photos-dead-letter")
    server.subscriptions[SUBSCRIPTION].topic = "_deleted-topic_"

    steps = bring_about(server, with_dead_letters())

    assert f"create topic {TOPIC}" in steps
    assert steps[-1] == (
        f"cannot change subscription {SUBSCRIPTION}: topic _deleted-topic_ → {TOPIC}. Its topic "
        "was deleted, so nothing new arrives: delete the subscription once it is drained, and "
        "Relé recreates it."
    )
    assert "no retry policy" not in caplog.text


@pytest.mark.parametrize("refused", ["create_topic", "create_subscription"])
def test_without_a_place_for_them_there_is_no_policy(server: FakeProject, refused: str) -> None:
    path = TOPIC if refused == "create_topic" else SUBSCRIPTION
    server.refused[f"{refused} {path}"] = exceptions.PermissionDenied("no")
    server.add("photos")

    with pytest.raises(ResourceError, match="photos-dead-letter"):
        bring_about(server, with_dead_letters())

    assert "dead_letter_policy" not in server.subscriptions[PHOTOS]


def test_who_may_not_look_at_the_topic_is_warned_and_consumes(
    server: FakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    server.add(
        "photos",
        dead_letter_policy=to_google_dead_letter_policy(DeadLetterPolicy(), "rele", "photos"),
    )
    server.refused[f"list_topic_subscriptions {TOPIC}"] = exceptions.PermissionDenied("no")

    assert bring_about(server, with_dead_letters()) == []

    assert f"not read the dead-letter topic {TOPIC} (pubsub.topics.get)" in caplog.text


def test_a_server_that_keeps_messages_for_less_keeps_them_as_it_does(server: FakeProject) -> None:
    create = server.subscriber.create_subscription.side_effect

    def take_seven_days(*, request: dict[str, object]) -> None:
        if "message_retention_duration" in request:
            raise exceptions.InvalidArgument("message_retention_duration out of bounds")
        create(request=request)

    server.subscriber.create_subscription.side_effect = take_seven_days

    bring_about(server, with_dead_letters())

    assert "expiration_policy" in server.subscriptions[SUBSCRIPTION]


def test_one_that_consumes_its_own_is_made(server: FakeProject) -> None:
    bring_about(server, with_dead_letters("photos"))

    assert set(server.subscriptions) == {PHOTOS}


def test_two_that_dead_letter_into_each_other_are_made(server: FakeProject) -> None:
    bring_about(
        server,
        with_dead_letters("cities"),
        Subscription(print, "cities", dead_letter_policy=DeadLetterPolicy("photos")),
    )

    assert set(server.subscriptions) == {PHOTOS, f"{SUBSCRIPTIONS}cities"}
