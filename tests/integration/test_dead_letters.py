"""``rele deadletters`` on real servers: what it lists, replays, handles and discards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import rele
from rele import DeadLetterPolicy, sub
from rele.cli.deadletters import DEADLETTERS
from rele.exceptions import DeadLetter, ReleError, ResourceError
from rele.subscription import Subscription
from rele.worker import Worker
from tests.support.dead_letters import QUICK, Letters, project_of, run
from tests.support.inbox import Inbox

Command = Callable[..., int]


@pytest.fixture
def letters(pubsub: str, project_id: str) -> Iterator[Letters]:
    letters = Letters(project_id)
    yield letters
    letters.close()


@pytest.fixture
def deadletters(project_id: str) -> Command:
    """Run ``rele deadletters orders`` with further arguments; return its exit status."""

    def command(*arguments: str, name: str = "orders", **settings: Any) -> int:
        project = project_of(project_id, **settings)
        return run(DEADLETTERS, name, *arguments, *QUICK, project=project)

    return command


def listed(capsys: pytest.CaptureFixture[str], deadletters: Command, *arguments: str) -> Any:
    """What the command prints as JSON."""
    capsys.readouterr()
    deadletters(*arguments, "--format", "json")
    return json.loads(capsys.readouterr().out)


def test_the_list_has_attempts_age_error_and_handler(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    [known] = letters.put(b"1", error=KeyError("price"))
    [unknown] = letters.put(b"2")

    assert deadletters() == 0

    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["Message", "Attempts", "Dead", "for", "Handler", "Error"]
    by_id = {row.split()[0]: row for row in rows}
    assert by_id.keys() == {known, unknown}
    assert by_id[known].split()[1] == "5"
    assert by_id[known].endswith("shop.subs.ship  KeyError: 'price'")
    assert by_id[unknown].endswith("  -               not known: moved by Pub/Sub")


def test_a_list_holds_nothing_afterwards(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"1", b"2")

    for _ in range(2):
        assert len(listed(capsys, deadletters)) == 2
    assert len(letters.pull(letters.dead, 2)) == 2


def test_groups_count_the_letters_of_one_error_and_handler(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"1", error=ValueError("order 17 has no price"))
    letters.put(b"2", error=ValueError("order 4 has no price"))
    letters.put(b"3", error=ValueError("order 4 has no price"), handler="shop.subs.bill")

    groups = listed(capsys, deadletters, "--group")

    assert [(each["letters"], each["handler"]) for each in groups] == [
        (2, "shop.subs.ship"),
        (1, "shop.subs.bill"),
    ]
    assert groups[0]["error"] == "order 17 has no price"


def test_one_letter_is_shown_whole(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"other")
    [id_] = letters.put(b'{"id": 17}', key="k", error=KeyError("price"), country="ES\x1b[2J")

    assert deadletters("show", id_) == 0

    shown = capsys.readouterr().out
    assert f"Dead letter {id_}" in shown
    assert "KeyError: 'price'" in shown
    assert "country=ES\\x1b[2J" in shown
    assert '"id": 17' in shown
    assert "CloudPubSub" not in shown


def test_a_replayed_message_is_as_it_was_published_first(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"\x00\xff", key="k", error=KeyError("price"), event_id="e-17", country="ES")

    assert deadletters("replay", "--all", "--yes") == 0

    [message] = letters.pull(letters.subscription, 1)
    assert message.data == b"\x00\xff"
    assert message.ordering_key == "k"
    assert dict(message.attributes) == {"event_id": "e-17", "country": "ES"}
    assert letters.pull(letters.dead) == []
    assert "1 replayed." in capsys.readouterr().err


def test_those_of_an_ordering_key_are_replayed_in_order(
    letters: Letters, deadletters: Command
) -> None:
    sent = [str(number).encode() for number in range(250)]
    for data in sent:
        letters.put(data, key="k")

    assert deadletters("replay", "--all", "--yes") == 0

    received: list[bytes] = []
    while len(received) < len(sent):
        received += [each.data for each in letters.pull(letters.subscription, 1)]
    assert received == sent


@pytest.mark.parametrize(
    "chosen", [("--error", "keyerror"), ("--handler", "SHIP"), ("--error", "key", "--handler", "s")]
)
def test_a_filter_chooses_what_is_replayed(
    letters: Letters, deadletters: Command, chosen: tuple[str, ...]
) -> None:
    letters.put(b"meant", error=KeyError("price"))
    letters.put(b"other", error=ValueError(), handler="bill")
    letters.put(b"unknown")

    assert deadletters("replay", *chosen, "--yes") == 0

    assert [each.data for each in letters.pull(letters.subscription, 1)] == [b"meant"]
    assert sorted(each.data for each in letters.pull(letters.dead, 2)) == [b"other", b"unknown"]


def test_a_filter_says_where_the_error_is_not_known(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"1", b"2")
    letters.put(b"3", error=ValueError())

    assert deadletters("replay", "--error", "KeyError", "--yes") == 0

    assert "2 more have no known error or handler" in capsys.readouterr().err


def test_ids_choose_what_is_discarded(letters: Letters, deadletters: Command) -> None:
    first, _, third = letters.put(b"1", b"2", b"3")

    assert deadletters("discard", first, third, "--yes") == 0

    assert [each.data for each in letters.pull(letters.dead, 1)] == [b"2"]
    assert letters.pull(letters.subscription) == []


def test_an_id_that_is_not_there_changes_nothing(letters: Letters, deadletters: Command) -> None:
    [there] = letters.put(b"1")

    with pytest.raises(ReleError, match="There is no dead letter '999999999'"):
        deadletters("discard", there, "999999999", "--yes")

    assert len(letters.pull(letters.dead, 1)) == 1


@pytest.mark.parametrize("arguments", [("discard",), ("replay",)])
def test_all_are_meant_only_where_it_is_said(
    letters: Letters, deadletters: Command, arguments: tuple[str, ...]
) -> None:
    letters.put(b"1")

    with pytest.raises(ReleError, match="Which letters"):
        deadletters(*arguments, "--yes")

    assert len(letters.pull(letters.dead, 1)) == 1


def test_without_yes_nothing_is_done_where_nobody_can_be_asked(
    letters: Letters, deadletters: Command
) -> None:
    letters.put(b"1")

    with pytest.raises(ReleError, match=r"Discard 1 dead letter of orders.*--yes"):
        deadletters("discard", "--all")

    assert len(letters.pull(letters.dead, 1)) == 1


def test_the_question_says_who_else_gets_the_messages(
    letters: Letters, deadletters: Command
) -> None:
    letters.subscribe("audit", letters.topic)
    letters.put(b"1")

    with pytest.raises(ReleError, match=r"/topics/orders \(all of its 2 subscriptions get them\)"):
        deadletters("replay", "--all")


def test_letters_of_other_subscriptions_stay(
    letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Subscriptions may share a dead-letter topic."""
    letters.put(b"own")
    letters.put(b"other", source=f"projects/{letters.project_id}/subscriptions/refunds")

    assert len(listed(capsys, deadletters)) == 1
    assert deadletters("discard", "--all", "--yes") == 0
    assert [each.data for each in letters.pull(letters.dead, 1)] == [b"other"]


def test_a_dead_letter_subscription_can_be_named_itself(
    letters: Letters, deadletters: Command
) -> None:
    letters.put(b"own")
    letters.put(b"gone", source=f"projects/{letters.project_id}/subscriptions/refunds")

    assert deadletters("replay", "--all", "--yes", name="orders-dead-letter") == 1

    assert [each.data for each in letters.pull(letters.subscription, 1)] == [b"own"]
    assert [each.data for each in letters.pull(letters.dead, 1)] == [b"gone"]


class TestFinding:
    def test_a_missing_subscription_on_the_dead_letter_topic_is_created(
        self,
        pubsub: str,
        project_id: str,
        deadletters: Command,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        letters = Letters(project_id, dead_subscription=False)
        letters.put(b"lost")

        assert deadletters() == 0

        shown = capsys.readouterr()
        assert f"Created {letters.dead}" in shown.err
        assert "what it got so far is lost" in shown.err
        assert shown.out == "There are no dead letters.\n"
        letters.put(b"kept")
        assert deadletters("discard", "--all", "--yes") == 0
        letters.close()

    def test_nothing_is_created_where_the_settings_do_not_allow_it(
        self, pubsub: str, project_id: str, deadletters: Command
    ) -> None:
        letters = Letters(project_id, dead_subscription=False)

        with pytest.raises(ReleError, match=r"RELE\['RESOURCES'\] = 'verify'"):
            deadletters(RESOURCES="verify")
        assert (
            letters.publisher.list_topic_subscriptions(topic=letters.dead_topic).subscriptions == []
        )
        letters.close()

    def test_of_several_subscriptions_one_has_to_be_named(
        self, pubsub: str, project_id: str, deadletters: Command
    ) -> None:
        letters = Letters(project_id, dead_subscription=False)
        for name in ("first", "second"):
            letters.subscribe(name, letters.dead_topic)
        letters.put(b"1")

        with pytest.raises(ReleError, match=r"first, second\. Name one with --from"):
            deadletters("discard", "--all", "--yes")
        with pytest.raises(ReleError, match="third is no subscription of"):
            deadletters("--from", "third")
        assert deadletters("discard", "--all", "--yes", "--from", "second") == 0
        first, second = (f"projects/{project_id}/subscriptions/{e}" for e in ("first", "second"))
        assert (len(letters.pull(first, 1)), len(letters.pull(second))) == (1, 0)
        letters.close()

    def test_a_subscription_without_a_policy_has_no_dead_letters(
        self, letters: Letters, deadletters: Command
    ) -> None:
        letters.subscribe("plain", letters.topic)

        with pytest.raises(ReleError, match="plain has no dead-letter policy"):
            deadletters("discard", "--all", "--yes", name="plain")

    def test_a_subscription_that_does_not_exist(
        self, letters: Letters, deadletters: Command
    ) -> None:
        with pytest.raises(ResourceError, match="There is no subscription 'ordres'"):
            deadletters(name="ordres")

    def test_a_policy_of_the_dead_letter_subscription_itself_is_warned_of(
        self, letters: Letters, deadletters: Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = letters.create_topic("dead-twice")
        policy = {"dead_letter_topic": other, "max_delivery_attempts": 5}
        letters.subscribe("second", letters.dead_topic, dead_letter_policy=policy)

        assert deadletters("--from", "second") == 0

        assert "each look counts as a delivery attempt" in capsys.readouterr().err


class TestHere:
    @pytest.fixture
    def handled(self) -> list[Any]:
        return []

    @pytest.fixture
    def ship(self, handled: list[Any]) -> Subscription:
        @sub("orders")
        def ship(data: Any, **attributes: Any) -> None:
            if data == "bad":
                raise ValueError(data)
            if data == "worse":
                raise DeadLetter
            handled.append((data, attributes))

        return ship

    @pytest.fixture
    def here(self, project_id: str, ship: Subscription) -> Command:
        def command(*arguments: str) -> int:
            project = replace(project_of(project_id), subscriptions=(ship,))
            every = ("orders", "replay", "--here", "--yes", *arguments, *QUICK)
            return run(DEADLETTERS, *every, project=project)

        return command

    def test_the_handler_gets_it_and_the_topic_does_not(
        self, letters: Letters, here: Command, handled: list[Any]
    ) -> None:
        letters.put(b"17", error=KeyError("price"), country="ES")

        assert here("--all") == 0

        assert handled == [(17, {"country": "ES"})]
        assert letters.pull(letters.subscription) == letters.pull(letters.dead) == []

    def test_what_fails_again_stays(
        self,
        letters: Letters,
        here: Command,
        handled: list[Any],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for data in (b'"bad"', b'"worse"', b"not JSON", b"17"):
            letters.put(data)

        assert here("--all") == 1

        assert handled == [(17, {})]
        assert len(letters.pull(letters.dead, 3)) == 3
        assert "3 not handled, and still dead letters" in capsys.readouterr().err


def test_what_a_handler_raises_is_kept_until_the_message_is_replayed(
    run_worker: Callable[..., Worker], deadletters: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    handled, is_mended = Inbox(), False

    @sub("invoices", dead_letter_policy=DeadLetterPolicy())
    def book(data: int, **attributes: Any) -> None:
        if is_mended:
            handled.put((data, attributes["event_id"]))
            return
        handled.put("failed")
        try:
            {}["price"]
        except KeyError as error:
            raise DeadLetter("nobody knows\nwhat it costs") from error

    run_worker([book])
    rele.publish("invoices", 17, event_id="e-17", blocking=True)
    handled.wait_for(1)
    letters: list[Any] = []
    while not letters:  # the message is published to the dead-letter topic after the handler
        letters = listed(capsys, lambda *more: deadletters(*more, name="invoices"))
    [letter] = letters
    assert (letter["error_type"], letter["error"]) == ("KeyError", "nobody knows")
    assert letter["handler"].endswith(".book")
    assert letter["attempts"] == 1

    is_mended = True
    assert deadletters("replay", letter["message_id"], "--yes", name="invoices") == 0
    assert handled.wait_for(2)[1] == (17, "e-17")
