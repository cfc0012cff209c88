"""``rele seek`` on real servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import pubsub_v1

from rele.cli.seek import SEEK
from rele.exceptions import ReleError, ResourceError
from tests.support.dead_letters import Letters, project_of, run

Command = Callable[..., int]


@pytest.fixture
def letters(pubsub: str, project_id: str) -> Iterator[Letters]:
    letters = Letters(project_id)
    yield letters
    letters.close()


@pytest.fixture
def orders(letters: Letters) -> str:
    """A subscription that retains what is acknowledged."""
    return letters.subscribe("kept", letters.topic, retain_acked_messages=True)


@pytest.fixture
def seek(project_id: str) -> Command:
    """Run ``rele seek`` with these arguments; return its exit status."""

    def command(name: str, *arguments: str) -> int:
        return run(SEEK, name, *arguments, project=project_of(project_id))

    return command


def publish(letters: Letters, *data: bytes) -> None:
    letters.publisher.publish(
        request={"topic": letters.topic, "messages": [{"data": each} for each in data]}
    )


def data_of(messages: list[Any]) -> list[bytes]:
    return sorted(each.data for each in messages)


def test_a_time_delivers_again_what_was_acknowledged(
    letters: Letters, orders: str, seek: Command
) -> None:
    publish(letters, b"1", b"2")
    assert len(letters.pull(orders, 2)) == 2

    assert seek("kept", "--to", "1h", "--yes") == 0

    assert data_of(letters.pull(orders, 2)) == [b"1", b"2"]


def test_now_skips_what_waits(letters: Letters, orders: str, seek: Command) -> None:
    publish(letters, b"1")

    assert seek("kept", "--to", "now", "--yes") == 0

    assert letters.pull(orders) == []


def test_a_snapshot_keeps_where_it_was(
    letters: Letters, orders: str, seek: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(letters, b"1")

    assert seek("kept", "--snapshot", "before") == 0
    assert capsys.readouterr().out == f"projects/{letters.project_id}/snapshots/before\n"
    letters.pull(orders, 1)
    assert seek(orders, "--to", "before", "--yes") == 0

    assert data_of(letters.pull(orders, 1)) == [b"1"]


def test_a_snapshot_before_a_seek_undoes_it(
    letters: Letters, orders: str, seek: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(letters, b"1")

    assert seek("kept", "--to", "now", "--snapshot", "--yes") == 0
    snapshot = capsys.readouterr().out.strip()
    assert re.fullmatch(r"projects/[\w-]+/snapshots/kept-\d{8}-\d{6}", snapshot)
    assert letters.pull(orders) == []
    assert seek("kept", "--to", snapshot, "--yes") == 0

    assert data_of(letters.pull(orders, 1)) == [b"1"]


def test_nothing_is_done_where_nobody_can_be_asked(
    letters: Letters, orders: str, seek: Command
) -> None:
    publish(letters, b"1")

    with pytest.raises(ReleError, match=r"Seek .*/kept to .* UTC \(1 h ago\).*--yes"):
        seek("kept", "--to", "1h", "--snapshot", "unmade")

    assert data_of(letters.pull(orders, 1)) == [b"1"]
    with pubsub_v1.SubscriberClient() as client, pytest.raises(NotFound):
        client.get_snapshot(snapshot=f"projects/{letters.project_id}/snapshots/unmade")


def test_the_question_says_where_nothing_is_retained(letters: Letters, seek: Command) -> None:
    with pytest.raises(ReleError, match="neither the subscription nor its topic retains it"):
        seek("orders", "--to", "1h")


def test_a_snapshot_that_does_not_exist(orders: str, seek: Command) -> None:
    with pytest.raises(ReleError, match=r"There is no snapshot projects/.*/snapshots/before"):
        seek("kept", "--to", "before", "--yes")


def test_a_subscription_that_does_not_exist(pubsub: str, seek: Command) -> None:
    with pytest.raises(ResourceError, match="There is no subscription 'kpet'"):
        seek("kpet", "--to", "now", "--yes")
