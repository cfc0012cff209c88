from __future__ import annotations

import pytest
from google.api_core import exceptions

from rele.exceptions import ResourceError
from rele.resources import PlanningProvisioner
from rele.subscription import Subscription
from tests.unit.resources.conftest import (
    SUBSCRIPTIONS,
    TOPICS,
    FakeProject,
    photos,
    resources,
    with_dead_letters,
)

PHOTOS = f"{SUBSCRIPTIONS}photos"


def provisioner(
    server: FakeProject, mode: str, *subscriptions: Subscription
) -> PlanningProvisioner:
    return PlanningProvisioner(resources(server), mode, subscriptions)


def calls_of(server: FakeProject) -> list[str]:
    """The names of all methods of Google's clients that were called."""
    return [
        call[0] for client in (server.subscriber, server.publisher) for call in client.mock_calls
    ]


def with_differences(server: FakeProject) -> list[Subscription]:
    """One that is missing, one that wants an update, one that cannot be changed."""
    server.add("photos-updated")
    server.add("photos-filtered", filter="attributes:id")
    return [
        photos(),
        photos(suffix="updated", ack_deadline=60),
        photos(suffix="filtered", backend_filter_by="attributes:size"),
    ]


class TestSetUp:
    @pytest.mark.parametrize(("mode", "deadline"), [("apply", 60), ("create", 17)])
    def test_creates_and_only_under_apply_updates(
        self, server: FakeProject, mode: str, deadline: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        provisioner(server, mode, *with_differences(server)).set_up()

        assert PHOTOS in server.subscriptions
        assert server.subscriptions[f"{PHOTOS}-updated"].ack_deadline_seconds == deadline
        [record] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert f"cannot change subscription {PHOTOS}-filtered" in record.getMessage()

    def test_under_verify_refuses_with_all_differences_and_changes_nothing(
        self, server: FakeProject
    ) -> None:
        declared = with_differences(server)

        with pytest.raises(ResourceError) as raised:
            provisioner(server, "verify", *declared).set_up()

        heading, *differences, advice = str(raised.value).splitlines()
        assert "under RELE['RESOURCES'] = 'verify':" in heading
        assert [line.split(":")[0].strip() for line in differences] == [
            f"create subscription {PHOTOS}",
            f"update subscription {PHOTOS}-updated",
            f"cannot change subscription {PHOTOS}-filtered",
        ]
        assert "`manage.py showsubscriptions --apply`" in advice
        assert server.requests == []

    def test_under_verify_is_content_where_all_is_as_declared(self, server: FakeProject) -> None:
        server.add()

        provisioner(server, "verify", photos(ack_deadline=17)).set_up()

        assert server.requests == []

    def test_under_verify_what_cannot_be_read_is_no_agreement(self, server: FakeProject) -> None:
        server.refused[f"get_subscription {PHOTOS}"] = exceptions.PermissionDenied("no")

        with pytest.raises(ResourceError, match=f"refused to read subscription {PHOTOS}"):
            provisioner(server, "verify", photos()).set_up()

    def test_under_ignore_asks_nothing(self, server: FakeProject) -> None:
        provisioner(server, "ignore", *with_differences(server)).set_up()

        assert calls_of(server) == []


class TestRestore:
    @pytest.mark.parametrize("mode", ["apply", "create"])
    def test_recreates_a_deleted_one_and_logs_it(
        self, server: FakeProject, mode: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        provisioner(server, mode, photos()).restore(photos())

        assert PHOTOS in server.subscriptions
        [record] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.getMessage().startswith(
            "The subscription photos had been deleted and was created again"
        )

    def test_does_not_say_that_it_made_what_it_may_not_make(
        self, server: FakeProject, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.refused[f"create_subscription {PHOTOS}"] = exceptions.PermissionDenied("no")

        with pytest.raises(ResourceError, match=r"pubsub\.subscriptions\.create"):
            provisioner(server, "apply", photos()).restore(photos())

        assert "was created again" not in caplog.text

    @pytest.mark.parametrize(("mode", "is_there"), [("apply", True), ("ignore", False)])
    def test_returns_whether_there_is_one(
        self, server: FakeProject, mode: str, is_there: bool
    ) -> None:
        assert provisioner(server, mode, photos()).restore(photos()) is is_there

    def test_changes_none_that_is_there(
        self, server: FakeProject, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.add()

        provisioner(server, "apply", photos()).restore(photos(ack_deadline=60))

        assert server.requests == []
        assert caplog.records == [] or "created again" not in caplog.text

    def test_knows_of_the_other_declarations(self, server: FakeProject) -> None:
        undertaker = Subscription(print, "photos-dead-letter", suffix="undertaker")
        declared = with_dead_letters()

        provisioner(server, "apply", declared, undertaker).restore(declared)

        assert f"{TOPICS}photos-dead-letter" in server.topics
        assert set(server.subscriptions) == {PHOTOS}

    def test_under_verify_recreates_nothing_and_says_who_must(self, server: FakeProject) -> None:
        with pytest.raises(ResourceError, match=f"{PHOTOS} was deleted.*whoever owns it must"):
            provisioner(server, "verify", photos()).restore(photos())

        assert server.requests == []

    def test_under_verify_lets_the_stream_go_on_where_it_is_there(
        self, server: FakeProject
    ) -> None:
        server.add(filter="attributes:id")

        provisioner(server, "verify", photos()).restore(photos(backend_filter_by="attributes:b"))

    def test_under_ignore_asks_nothing(self, server: FakeProject) -> None:
        provisioner(server, "ignore", photos()).restore(photos())

        assert calls_of(server) == []
