from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from rele.exceptions import ResourceError
from rele.resources import (
    PAUSE_WITHOUT_RETRY_POLICY,
    PlanningProvisioner,
    Resources,
    create_topic,
    to_google_retry_policy,
)
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription
from tests.unit.resources.conftest import (
    SUBSCRIPTIONS,
    TOPICS,
    ConnectionTo,
    FakeProject,
    bring_about,
    photos,
    resources,
    with_dead_letters,
)

SUBSCRIPTION_PATH, TOPIC_PATH = f"{SUBSCRIPTIONS}photos", f"{TOPICS}photos"
UPDATE = f"update subscription {SUBSCRIPTION_PATH}"
types = pubsub_v1.types


def policy_of(server: FakeProject) -> tuple[float, float] | None:
    """Minimum and maximum of the subscription's retry policy."""
    actual = server.subscriptions[SUBSCRIPTION_PATH]
    if "retry_policy" not in actual:
        return None
    policy = actual.retry_policy
    return policy.minimum_backoff.total_seconds(), policy.maximum_backoff.total_seconds()


def add_with_policy(server: FakeProject, policy: RetryPolicy | None) -> None:
    server.add(retry_policy=policy and to_google_retry_policy(policy))


class TestCreation:
    def test_a_missing_subscription_is_made_together_with_its_topic(
        self, server: FakeProject
    ) -> None:
        steps = bring_about(server, photos(backend_filter_by="attributes:id"))

        assert steps == [f"create topic {TOPIC_PATH}", f"create subscription {SUBSCRIPTION_PATH}"]
        assert server.topics == {TOPIC_PATH: {}}
        made = server.subscriptions[SUBSCRIPTION_PATH]
        assert made.topic == TOPIC_PATH
        assert made.ack_deadline_seconds == 60
        assert made.filter == "attributes:id"

    def test_what_was_planned_is_done_once(self, server: FakeProject) -> None:
        bring_about(server, photos())
        server.requests.clear()

        assert bring_about(server, photos()) == []

        assert server.requests == []

    def test_two_subscriptions_of_a_missing_topic_are_made_and_it_once(
        self, server: FakeProject
    ) -> None:
        steps = bring_about(server, photos(), photos(suffix="b"))

        assert set(server.subscriptions) == {SUBSCRIPTION_PATH, f"{SUBSCRIPTION_PATH}-b"}
        assert steps.count(f"create topic {TOPIC_PATH}") == 1

    @pytest.mark.parametrize(
        ("declared", "default", "policy"),
        [
            (None, None, (10, 600)),
            (None, RetryPolicy(2, 20), (2, 20)),
            (RetryPolicy(1, 1.5), RetryPolicy(2, 20), (1, 1.5)),
        ],
    )
    def test_a_new_subscription_always_has_a_retry_policy(
        self,
        server: FakeProject,
        declared: RetryPolicy | None,
        default: RetryPolicy | None,
        policy: tuple[float, float],
    ) -> None:
        bring_about(server, photos(retry_policy=declared), retry_policy=default)

        assert policy_of(server) == policy

    def test_it_has_all_that_is_stated(self, server: FakeProject) -> None:
        bring_about(
            server,
            photos(
                ack_deadline=99,
                enable_message_ordering=True,
                enable_exactly_once_delivery=True,
                message_retention_duration=timedelta(days=2),
                retain_acked_messages=True,
                expiration_policy=timedelta(days=3),
            ),
            labels={"team": "shop"},
        )

        made = server.subscriptions[SUBSCRIPTION_PATH]
        assert made.ack_deadline_seconds == 99
        assert (made.enable_message_ordering, made.enable_exactly_once_delivery) == (True, True)
        assert made.message_retention_duration == timedelta(days=2)
        assert made.retain_acked_messages
        assert made.expiration_policy.ttl == timedelta(days=3)
        assert made.labels == {"team": "shop"}

    @pytest.mark.parametrize(("stated", "is_there"), [("never", True), (None, False)])
    def test_to_expire_never_is_a_policy_without_a_time(
        self, server: FakeProject, stated: str | None, is_there: bool
    ) -> None:
        bring_about(server, photos(expiration_policy=stated))

        made = server.subscriptions[SUBSCRIPTION_PATH]
        assert ("expiration_policy" in made) == is_there
        assert not made.expiration_policy.ttl

    def test_what_another_worker_has_made_in_the_meantime_is_fine(
        self, server: FakeProject
    ) -> None:
        desired = resources(server)
        plan = desired.plan([photos()])
        server.add()

        applied: list[str] = []
        desired.apply(plan, lambda change: applied.append(str(change)))

        assert server.subscriptions[SUBSCRIPTION_PATH].ack_deadline_seconds == 17
        assert applied == []

    def test_a_topic_that_exists_is_not_created_again(self, server: FakeProject) -> None:
        server.topics[TOPIC_PATH] = {}

        steps = bring_about(server, photos())

        assert steps == [f"create subscription {SUBSCRIPTION_PATH}"]

    def test_who_may_not_look_at_topics_need_not_be_allowed_to_make_any(
        self, server: FakeProject
    ) -> None:
        server.topics[TOPIC_PATH] = {}
        denied = exceptions.PermissionDenied("no")
        server.refused = {f"get_topic {TOPIC_PATH}": denied, f"create_topic {TOPIC_PATH}": denied}

        bring_about(server, photos())

        assert SUBSCRIPTION_PATH in server.subscriptions

    def test_no_publisher_client_is_made_where_all_is_there(self, server: FakeProject) -> None:
        server.add()
        connection = ConnectionTo(server)

        Resources(connection, server.subscriber).plan([photos()])

        connection.make_client.assert_not_called()  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("regions", "allowed"),
        [(("europe-west1",), ["europe-west1"]), (["europe-west1", "us-east1"],) * 2],
    )
    def test_a_topic_is_kept_in_the_regions_that_are_set(
        self, server: FakeProject, regions: list[str] | tuple[str], allowed: list[str]
    ) -> None:
        bring_about(server, photos(), regions=regions)

        assert server.topics[TOPIC_PATH]["message_storage_policy"] == {
            "allowed_persistence_regions": allowed
        }

    @pytest.mark.parametrize("regions", [None, (), []])
    def test_a_topic_has_no_region_where_none_is_set(
        self, server: FakeProject, regions: list[str] | str | None
    ) -> None:
        create_topic(server.publisher, TOPIC_PATH, regions)

        assert server.topics[TOPIC_PATH] == {}

    def test_fractions_of_seconds_are_exact(self) -> None:
        policy = to_google_retry_policy(RetryPolicy(0.1, 599.9))

        assert policy.minimum_backoff.total_seconds() == 0.1
        assert policy.maximum_backoff.total_seconds() == 599.9


class TestUpdate:
    @pytest.mark.parametrize(
        ("actual", "declared", "default", "policy"),
        [
            (None, None, None, None),
            (RetryPolicy(3, 30), None, None, (3, 30)),
            (RetryPolicy(3, 30), RetryPolicy(3, 30), None, (3, 30)),
            (None, RetryPolicy(3, 30), None, (3, 30)),
            (RetryPolicy(5, 50), RetryPolicy(3, 30), RetryPolicy(2, 20), (3, 30)),
            (RetryPolicy(5, 50), None, RetryPolicy(2, 20), (2, 20)),
        ],
    )
    def test_an_existing_one_is_changed_only_in_a_stated_policy(
        self,
        server: FakeProject,
        actual: RetryPolicy | None,
        declared: RetryPolicy | None,
        default: RetryPolicy | None,
        policy: tuple[float, float] | None,
    ) -> None:
        add_with_policy(server, actual)
        changes = policy is not None and policy != (
            actual and (actual.minimum_backoff, actual.maximum_backoff)
        )

        steps = bring_about(server, photos(retry_policy=declared), retry_policy=default)

        assert len(steps) == changes
        assert server.masks == [["retry_policy"]] * changes
        assert policy_of(server) == policy
        assert server.subscriptions[SUBSCRIPTION_PATH].ack_deadline_seconds == 17

    @pytest.mark.parametrize(
        ("option", "value", "field", "actual", "text"),
        [
            ("ack_deadline", 60, "ack_deadline_seconds", None, "17 → 60"),
            (
                "retry_policy",
                RetryPolicy(1, 2.5),
                "retry_policy",
                {"minimum_backoff": timedelta(seconds=10), "maximum_backoff": timedelta(minutes=1)},
                "10 s to 60 s → 1 s to 2.5 s",
            ),
            (
                "enable_exactly_once_delivery",
                True,
                "enable_exactly_once_delivery",
                False,
                "False → True",
            ),
            ("retain_acked_messages", False, "retain_acked_messages", True, "True → False"),
            (
                "message_retention_duration",
                86400,
                "message_retention_duration",
                timedelta(days=7),
                "604800 s → 86400 s",
            ),
            ("expiration_policy", "never", "expiration_policy", None, "none → never"),
            (
                "expiration_policy",
                "never",
                "expiration_policy",
                {"ttl": timedelta(days=31)},
                "2678400 s → never",
            ),
            ("expiration_policy", timedelta(days=1), "expiration_policy", {}, "never → 86400 s"),
            ("labels", {"team": "shop"}, "labels", {"team": "web"}, "team=web → team=shop"),
        ],
    )
    def test_what_is_stated_is_changed_and_logged_and_nothing_else(
        self, server: FakeProject, option: str, value: Any, field: str, actual: Any, text: str
    ) -> None:
        server.add(**({} if actual is None else {field: actual}))
        declared = photos(**{option: value})

        steps = bring_about(server, declared)

        assert steps == [f"{UPDATE}: {option} {text}"]
        assert server.masks == [[field]]
        server.requests.clear()
        assert bring_about(server, declared) == []

    def test_all_that_differs_is_one_update(self, server: FakeProject) -> None:
        server.add(enable_exactly_once_delivery=True)

        [step] = bring_about(
            server,
            photos(ack_deadline=60, enable_exactly_once_delivery=True, labels={"team": "shop"}),
        )

        assert step == f"{UPDATE}: ack_deadline 17 → 60, labels none → team=shop"
        assert server.masks == [["ack_deadline_seconds", "labels"]]

    def test_labels_that_others_have_set_stay(self, server: FakeProject) -> None:
        server.add(labels={"cost": "42", "team": "web"})

        [step] = bring_about(server, photos(labels={"team": "shop"}))

        assert step == f"{UPDATE}: labels cost=42 team=web → cost=42 team=shop"
        assert server.subscriptions[SUBSCRIPTION_PATH].labels == {"cost": "42", "team": "shop"}

    def test_labels_that_are_there_among_others_are_no_difference(
        self, server: FakeProject
    ) -> None:
        server.add(labels={"cost": "42", "team": "shop"})

        assert bring_about(server, photos(labels={"team": "shop"})) == []

    def test_what_is_meant_for_new_ones_changes_none_that_exists(self, server: FakeProject) -> None:
        server.add()

        assert bring_about(server, photos()) == []


class TestObstacles:
    FIXED = (
        "This is fixed when a subscription is created: delete the subscription once it is drained, "
        "and Relé recreates it, or declare another suffix."
    )

    @pytest.mark.parametrize(
        ("actual", "declared", "text"),
        [
            (
                {"filter": "attributes:id"},
                {"backend_filter_by": "attributes:size"},
                "backend_filter_by attributes:id → attributes:size",
            ),
            (
                {},
                {"backend_filter_by": "attributes:size"},
                "backend_filter_by none → attributes:size",
            ),
            (
                {"enable_message_ordering": True},
                {"enable_message_ordering": False},
                "enable_message_ordering True → False",
            ),
            ({"topic": "pictures"}, {}, f"topic {TOPICS}pictures → {TOPIC_PATH}"),
            ({"detached": True}, {}, f"topic detached → {TOPIC_PATH}"),
        ],
    )
    def test_what_is_fixed_is_reported_with_what_to_do_and_left(
        self,
        server: FakeProject,
        caplog: pytest.LogCaptureFixture,
        actual: dict[str, Any],
        declared: dict[str, Any],
        text: str,
    ) -> None:
        server.add(**actual)

        [step] = bring_about(server, photos(**declared))

        assert step == f"cannot change subscription {SUBSCRIPTION_PATH}: {text}. {self.FIXED}"
        assert server.requests == []
        [record] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.getMessage() == f"Relé {step}"

    def test_a_deleted_topic_is_reported(self, server: FakeProject) -> None:
        server.add()
        server.subscriptions[SUBSCRIPTION_PATH].topic = "_deleted-topic_"

        [step] = bring_about(server, photos())

        assert f": topic _deleted-topic_ → {TOPIC_PATH}. Its topic was deleted, so nothing" in step

    def test_it_keeps_nothing_else_from_being_changed(self, server: FakeProject) -> None:
        server.add(topic="pictures")

        bring_about(server, photos(ack_deadline=60), photos(suffix="b"))

        assert server.subscriptions[SUBSCRIPTION_PATH].ack_deadline_seconds == 60
        assert f"{SUBSCRIPTION_PATH}-b" in server.subscriptions

    @pytest.mark.parametrize(
        "actual", [{"filter": "attributes:id"}, {"enable_message_ordering": True}]
    )
    def test_what_is_not_stated_is_none(self, server: FakeProject, actual: dict[str, Any]) -> None:
        server.add(**actual)

        assert bring_about(server, photos()) == []


class TestFailurePause:
    @pytest.mark.parametrize(
        ("actual", "stated", "pause"),
        [
            (None, None, PAUSE_WITHOUT_RETRY_POLICY),
            (None, RetryPolicy(1, 2), None),
            (RetryPolicy(1, 2), None, None),
        ],
    )
    def test_failures_are_delayed_only_where_no_policy_does_it(
        self,
        server: FakeProject,
        actual: RetryPolicy | None,
        stated: RetryPolicy | None,
        pause: int | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        add_with_policy(server, actual)
        declared = photos(retry_policy=stated)
        provisioner = PlanningProvisioner(resources(server), "apply", [declared])

        provisioner.set_up()
        provisioner.set_up()

        assert provisioner.failure_pause(declared) == pause
        warned = caplog.text.count(f"{SUBSCRIPTION_PATH} has no retry policy")
        assert warned == (pause is not None)

    def test_they_are_no_longer_once_a_stated_policy_was_applied(self, server: FakeProject) -> None:
        add_with_policy(server, None)
        declared = photos(retry_policy=RetryPolicy(1, 2))
        provisioner = PlanningProvisioner(resources(server), "apply", [declared])

        provisioner.set_up()

        assert provisioner.failure_pause(declared) is None

    def test_they_are_delayed_while_a_stated_policy_is_not_applied(
        self, server: FakeProject
    ) -> None:
        add_with_policy(server, None)
        declared = photos(retry_policy=RetryPolicy(1, 2))
        provisioner = PlanningProvisioner(resources(server), "create", [declared])

        provisioner.set_up()

        assert provisioner.failure_pause(declared) == PAUSE_WITHOUT_RETRY_POLICY

    def test_they_are_no_longer_once_somebody_has_given_it_one(self, server: FakeProject) -> None:
        add_with_policy(server, None)
        provisioner = PlanningProvisioner(resources(server), "apply", [photos()])
        provisioner.set_up()
        add_with_policy(server, RetryPolicy(1, 2))

        provisioner.restore(photos())

        assert provisioner.failure_pause(photos()) is None

    def test_a_plan_says_so_and_logs_nothing(
        self, server: FakeProject, caplog: pytest.LogCaptureFixture
    ) -> None:
        add_with_policy(server, None)
        caplog.set_level("DEBUG")

        plan = resources(server).plan([photos(), photos(suffix="missing")])

        assert plan.lacks_retry_policy == {
            SUBSCRIPTION_PATH: True,
            f"{SUBSCRIPTION_PATH}-missing": False,
        }
        assert caplog.records == []


class TestRefusals:
    @pytest.mark.parametrize(
        "error", [exceptions.PermissionDenied("no"), exceptions.InvalidArgument("?")]
    )
    def test_what_needs_what_was_refused_is_left_out(
        self, server: FakeProject, error: Exception
    ) -> None:
        server.refused[f"create_topic {TOPIC_PATH}"] = error

        with pytest.raises(ResourceError, match=f"refused to create topic {TOPIC_PATH}"):
            bring_about(server, photos())

        assert server.requests == []
        assert server.subscriptions == {}

    def test_what_is_stated_is_not_given_up(self, server: FakeProject) -> None:
        server.refused[f"create_subscription {SUBSCRIPTION_PATH}"] = exceptions.InvalidArgument("?")

        with pytest.raises(ResourceError, match=f"create subscription {SUBSCRIPTION_PATH}: 400"):
            bring_about(server, photos(message_retention_duration=timedelta(days=31)))

        server.subscriber.create_subscription.assert_called_once()

    def test_one_hides_no_other_and_keeps_nothing_from_being_done(
        self, server: FakeProject
    ) -> None:
        denied = exceptions.PermissionDenied("User not authorized.")
        server.add("a-photos")
        server.add("b-photos")
        server.refused = {
            f"get_subscription {SUBSCRIPTIONS}a-photos": denied,
            f"update_subscription {SUBSCRIPTIONS}b-photos": denied,
            f"create_topic {TOPICS}cities": denied,
            f"create_subscription {SUBSCRIPTIONS}d-photos": denied,
        }

        with pytest.raises(ResourceError) as raised:
            bring_about(
                server,
                photos(prefix="a"),
                photos(prefix="b", ack_deadline=60),
                Subscription(print, "cities"),
                photos(prefix="d"),
                photos(prefix="e"),
            )

        expected = {
            f"read subscription {SUBSCRIPTIONS}a-photos": "pubsub.subscriptions.get",
            f"create topic {TOPICS}cities": "pubsub.topics.create",
            f"update subscription {SUBSCRIPTIONS}b-photos": "pubsub.subscriptions.update",
            f"create subscription {SUBSCRIPTIONS}d-photos": (
                "pubsub.subscriptions.create and pubsub.topics.attachSubscription"
            ),
        }
        assert sorted(str(raised.value).splitlines()) == sorted(
            f"Pub/Sub refused to {step}: User not authorized. The credentials need the permission "
            f"{permission}, which roles/pubsub.editor has."
            for step, permission in expected.items()
        )
        assert f"{SUBSCRIPTIONS}e-photos" in server.subscriptions

    def test_a_plan_lists_what_could_not_be_read(self, server: FakeProject) -> None:
        server.refused[f"get_subscription {SUBSCRIPTION_PATH}"] = exceptions.PermissionDenied("no")

        plan = resources(server).plan([photos(), photos(suffix="b")])

        assert [change.path for change in plan.changes] == [TOPIC_PATH, f"{SUBSCRIPTION_PATH}-b"]
        with pytest.raises(ResourceError, match=r"permission pubsub\.subscriptions\.get"):
            plan.raise_refusals()

    def test_no_answer_ends_it_at_once(self, server: FakeProject) -> None:
        server.refused[f"get_subscription {SUBSCRIPTION_PATH}"] = exceptions.ServiceUnavailable("?")

        with pytest.raises(ResourceError, match=f"did not read subscription {SUBSCRIPTION_PATH}"):
            resources(server).plan([photos()])

    def test_a_topic_that_vanishes_in_between_is_a_refusal(self, server: FakeProject) -> None:
        desired = resources(server)
        server.topics[TOPIC_PATH] = {}
        plan = desired.plan([photos()])
        server.topics.clear()

        with pytest.raises(ResourceError, match=f"create subscription {SUBSCRIPTION_PATH}: 404"):
            desired.apply(plan)


class TestOrphans:
    def test_are_those_under_the_prefix_that_nobody_declares(self, server: FakeProject) -> None:
        for name in ("shop-photos", "shop-old", "shops-old", "shop", "old", "shop-a-dead-letter"):
            server.add(name)

        orphans = resources(server).orphans("shop", [photos(prefix="shop")])

        assert orphans == [f"{SUBSCRIPTIONS}shop-old"]

    def test_what_keeps_dead_letters_is_none(self, server: FakeProject) -> None:
        server.add("shop-graveyard", "shop-graveyard")

        orphans = resources(server).orphans("shop", [with_dead_letters("shop-graveyard")])

        assert orphans == []

    def test_a_refusal_to_list_them_is_reported(self, server: FakeProject) -> None:
        server.refused["list_subscriptions projects/rele"] = exceptions.PermissionDenied("no")

        with pytest.raises(ResourceError, match=r"permission pubsub\.subscriptions\.list"):
            resources(server).orphans("shop", [])
