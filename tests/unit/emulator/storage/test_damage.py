"""Damaged rows are named and set aside, and all others are delivered."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rele.emulator.delivery.consumers import FlowControl
from rele.emulator.exceptions import DataDirError
from rele.emulator.rpc.attachment import Attachment
from rele.emulator.status.report import report_of
from rele.emulator.storage import damage
from rele.emulator.storage.database import FILE_NAME, LOCK_NAME
from rele.emulator.storage.payloads import Payloads
from rele.emulator.storage.structure import PAGE_SIZE
from rele.emulator.wire.descriptors import message_class

from .conftest import SUB, Disk, acknowledge, data

OTHER = "projects/p/subscriptions/other"
WAL_NAME = f"{FILE_NAME}-wal"


@pytest.fixture
def numbers(disk: Disk) -> list[int]:
    """The ids of three messages, on disk in two subscriptions."""
    disk.subscribe()
    disk.subscribe(OTHER)
    numbers = disk.publish(b"1", b"2", b"3")
    disk.commit()
    return numbers


def restart(disk: Disk, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Start again after the data were changed behind the server's back."""
    for statement, parameters in statements:
        disk.database.writer.execute(statement, parameters)
    disk.restart()


def noted(disk: Disk) -> list[dict[str, Any]]:
    """What is in the file of what was set aside."""
    lines = (disk.directory / damage.FILE_NAME).read_text().splitlines()
    return [json.loads(line) for line in lines]


def damaged(disk: Disk) -> int:
    """What ``--status`` shows."""
    number: int = report_of(disk.registry, 0)["damaged"]
    return number


def test_whole_data_are_not_worth_a_word(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    disk.restart()

    assert (damaged(disk), caplog.records) == (0, [])
    assert not (disk.directory / damage.FILE_NAME).exists()


def test_a_damaged_message_is_set_aside_and_the_others_are_delivered(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    restart(disk, ("UPDATE message SET encoded = x'00' WHERE id = ?", (numbers[1],)))

    assert data(disk.reader()) == data(disk.reader(OTHER)) == [b"1", b"3"]
    texts = [each.getMessage() for each in caplog.records]
    assert texts[0].endswith(f"row {numbers[1]} of the table message is damaged.")
    assert texts[1].endswith(f"message {numbers[1]} of {SUB}, {OTHER} is damaged or missing.")
    assert str(disk.directory / damage.FILE_NAME) in texts[2]
    assert [each["rows"][0][0] for each in noted(disk)] == ["message", "entry"]
    assert damaged(disk) == 2


def test_what_was_set_aside_is_counted_and_not_found_again(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    restart(disk, ("UPDATE message SET ordering_key = 'k' WHERE id = ?", (numbers[1],)))
    caplog.clear()
    disk.restart()

    assert caplog.records == []
    assert damaged(disk) == 2
    assert data(disk.reader()) == [b"1", b"3"]
    assert disk.publish(b"4") > numbers


def test_damaged_state_of_a_message_costs_only_its_subscription(
    disk: Disk, numbers: list[int]
) -> None:
    statement = "UPDATE entry SET attempt = 77 WHERE message = ? AND holder = ?"
    (holder,) = disk.database.reader.execute("SELECT min(holder) FROM entry").fetchone()
    restart(disk, (statement, (numbers[0], holder)))

    assert data(disk.reader()) == [b"2", b"3"]
    assert data(disk.reader(OTHER)) == [b"1", b"2", b"3"]


def test_attempts_outlive_the_repair_of_others(disk: Disk, numbers: list[int]) -> None:
    reader = disk.reader()
    reader.backlog.modify_ack_deadlines([reader.take_one()], [0])
    disk.commit()
    restart(disk, ("DELETE FROM message WHERE id = ?", (numbers[1],)))
    disk.restart()

    assert [each.attempt for each in disk.reader().take()] == [2, 1]


@pytest.mark.parametrize("key", ["message = message + 1000", "holder = holder + 1000"])
def test_a_damaged_key_brings_no_message_to_anybody_else(
    disk: Disk, numbers: list[int], key: str
) -> None:
    restart(disk, (f"UPDATE entry SET {key} WHERE message = ?", (numbers[2],)))

    assert data(disk.reader()) == data(disk.reader(OTHER)) == [b"1", b"2"]
    assert damaged(disk) > 0


def test_a_message_that_is_missing_is_named(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    restart(disk, ("DELETE FROM message WHERE id = ?", (numbers[0],)))

    assert data(disk.reader()) == [b"2", b"3"]
    assert f"message {numbers[0]} of {SUB}, {OTHER} is damaged or missing" in caplog.text
    assert "1 row(s) of the table message are missing" in caplog.text


def test_messages_missing_with_all_that_names_them_are_counted(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    where = "WHERE id > ?"
    restart(
        disk,
        (f"DELETE FROM message {where}", (numbers[0],)),
        (f"DELETE FROM entry {where.replace('id', 'message')}", (numbers[0],)),
    )

    assert data(disk.reader()) == [b"1"]
    assert "2 row(s) of the table message are missing" in caplog.text
    assert "4 row(s) of the table entry are missing" in caplog.text
    assert damaged(disk) == 2


def test_rows_that_nobody_wrote_are_counted(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    columns = "message, 1000, attempt, checksum"
    restart(disk, (f"INSERT INTO entry SELECT {columns} FROM entry LIMIT 1", ()))

    assert data(disk.reader()) == [b"1", b"2", b"3"]
    assert "the table entry has 1 row(s) more than were written" in caplog.text


def test_damaged_counts_cost_nothing(
    disk: Disk, numbers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    restart(disk, ("UPDATE tally SET messages = 4", ()))

    assert "the row that counts the others is damaged or missing" in caplog.text
    assert data(disk.reader()) == [b"1", b"2", b"3"]
    assert disk.publish(b"4") > numbers
    disk.restart()
    assert damaged(disk) == 1


@pytest.mark.parametrize("which", ["id < 0", "id > 0"])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM resource", "UPDATE resource SET config = x'00'"]
)
def test_a_topic_or_subscription_outlives_damage_of_one_of_its_rows(
    disk: Disk,
    numbers: list[int],
    caplog: pytest.LogCaptureFixture,
    statement: str,
    which: str,
) -> None:
    before = disk.registry.subscription(SUB).config
    restart(disk, (f"{statement} WHERE {which}", ()))
    assert f"one of the two rows of {SUB} was restored from the other" in caplog.text
    assert disk.registry.subscription(SUB).config == before
    caplog.clear()
    disk.restart()

    assert caplog.records == []
    assert data(disk.reader()) == [b"1", b"2", b"3"]


def test_one_that_is_lost_is_no_reason_to_serve_the_rest(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.create_topic()
    disk.subscribe()
    disk.commit()
    disk.database.writer.execute("UPDATE resource SET name = 'x' WHERE name = ?", (SUB,))
    disk.stop()
    disk.loop.close()
    before = (tmp_path / FILE_NAME).read_bytes()

    with pytest.raises(DataDirError, match=r"2 were there, 1 can be read.*Restore a copy"):
        Disk(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


class TestWhileItRuns:
    @pytest.fixture(autouse=True)
    def on_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Payloads, "most_bytes", 0)

    @pytest.mark.parametrize(
        "statement", ["UPDATE message SET encoded = x'00'", "DELETE FROM message"]
    )
    def test_a_damaged_message_is_reported_once_and_the_others_are_delivered(
        self,
        disk: Disk,
        numbers: list[int],
        caplog: pytest.LogCaptureFixture,
        statement: str,
    ) -> None:
        disk.database.writer.execute(f"{statement} WHERE id = ?", (numbers[1],))

        for name in (SUB, OTHER):
            assert delivered(disk, name) == [b"1", b"3"]
        (record,) = caplog.records
        assert record.getMessage().startswith(f"Message {numbers[1]} is damaged")
        assert damaged(disk) == 1
        assert len(disk.registry.subscription(SUB).backlog.deliveries()) == 2

    def test_the_next_start_sets_it_aside(self, disk: Disk, numbers: list[int]) -> None:
        disk.database.writer.execute(
            "UPDATE message SET publish_time = 1 WHERE id = ?", numbers[:1]
        )
        assert delivered(disk, SUB) == [b"2", b"3"]
        disk.restart()

        assert [each["rows"][0][1][0] for each in noted(disk)] == [numbers[0]] * 2

    def test_later_messages_of_its_key_go_on(self, disk: Disk) -> None:
        disk.subscribe(enable_message_ordering=True)
        numbers = disk.publish(b"1", b"2", b"3", ordering_key="k")
        disk.commit()
        disk.database.writer.execute("UPDATE message SET encoded = x'00' WHERE id = ?", numbers[:1])

        assert delivered(disk, SUB) == [b"2", b"3"]
        backlog = disk.registry.subscription(SUB).backlog
        backlog.acknowledge([backlog.ack_ids.make(each) for each in backlog.deliveries()])
        assert backlog.unacknowledged() == []

    def test_it_becomes_no_dead_letter(self, disk: Disk) -> None:
        disk.create_topic("projects/p/topics/dead")
        disk.subscribe(OTHER, "projects/p/topics/dead")
        policy = {"dead_letter_topic": "projects/p/topics/dead", "max_delivery_attempts": 5}
        disk.subscribe(dead_letter_policy=policy)
        numbers = disk.publish(b"1")
        disk.commit()
        reader = disk.reader()
        for _ in range(4):
            reader.backlog.modify_ack_deadlines([reader.take_one()], [0])
        last = reader.take_one()
        disk.database.writer.execute("UPDATE message SET encoded = x'00' WHERE id = ?", numbers)
        reader.backlog.modify_ack_deadlines([last], [0])

        assert data(disk.reader(OTHER)) == []
        assert damaged(disk) == 1

    def test_a_seek_through_a_filter_passes_it_by(self, disk: Disk) -> None:
        disk.create_topic("projects/p/topics/kept", message_retention_duration={"seconds": 3600})
        numbers = disk.publish(b"1", b"2", topic="projects/p/topics/kept", attributes={"k": ""})
        disk.subscribe(topic="projects/p/topics/kept", filter="attributes:k")
        disk.commit()
        disk.database.writer.execute("UPDATE message SET encoded = x'00' WHERE id = ?", numbers[:1])
        disk.seek(0)

        assert data(disk.reader()) == [b"2"]


class TestTheLog:
    """What a killed server leaves in SQLite's write-ahead log."""

    @pytest.fixture
    def killed(self, disk: Disk, tmp_path: Path) -> Path:
        disk.subscribe()
        for number in range(5):
            disk.publish(b"%d" % number)
            disk.commit()
        return_to = tmp_path / "killed"
        return_to.mkdir()
        for name in (FILE_NAME, WAL_NAME):
            shutil.copy(disk.directory / name, return_to)
        return return_to

    def served(self, directory: Path) -> tuple[list[bytes], int]:
        """What is delivered of the directory, and how much is damaged."""
        disk = Disk(directory)
        try:
            return data(disk.reader()), damaged(disk)
        finally:
            disk.stop()
            disk.loop.close()

    def test_it_is_read_to_its_end(self, killed: Path) -> None:
        assert self.served(killed) == ([b"0", b"1", b"2", b"3", b"4"], 0)

    def test_a_frame_that_was_begun_counts_for_nothing(self, killed: Path) -> None:
        with (killed / WAL_NAME).open("ab") as file:
            file.write(b"\1" * 1000)

        assert self.served(killed) == ([b"0", b"1", b"2", b"3", b"4"], 0)

    def test_a_last_commit_that_cannot_be_read_is_reported_as_lost(
        self, killed: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        _flip(killed / WAL_NAME, -1)

        assert self.served(killed) == ([b"0", b"1", b"2", b"3"], 1)
        assert f"{WAL_NAME}: its last commit is incomplete or damaged" in caplog.text

    @pytest.mark.parametrize("at", [0, 9, 17, 24, 32, 40, 44, 48, 100, 4200])
    def test_one_that_is_damaged_before_is_refused(self, killed: Path, at: int) -> None:
        _flip(killed / WAL_NAME, at)
        before = (killed / WAL_NAME).read_bytes()

        with pytest.raises(DataDirError, match=f"is damaged .{WAL_NAME}.*left as it is"):
            self.served(killed)
        assert (killed / WAL_NAME).read_bytes() == before

    def test_what_is_left_of_an_earlier_log_is_no_damage(self, disk: Disk, tmp_path: Path) -> None:
        disk.subscribe()
        for _ in range(3):
            disk.publish(b"x" * 100_000)
            disk.commit()
        acknowledge(disk.reader(), 3)
        disk.commit()
        disk.database.writer.execute("PRAGMA wal_checkpoint(RESTART)")
        disk.publish(b"new")
        disk.commit()
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in (FILE_NAME, WAL_NAME):
            shutil.copy(disk.directory / name, copy)
        assert (copy / WAL_NAME).stat().st_size > 100_000

        assert self.served(copy) == ([b"new"], 0)

    @pytest.fixture
    def killed_with_lock(self, killed: Path, disk: Disk) -> Path:
        shutil.copy(disk.directory / LOCK_NAME, killed)
        return killed

    def test_what_a_killed_server_leaves_is_served(self, killed_with_lock: Path) -> None:
        assert self.served(killed_with_lock) == ([b"0", b"1", b"2", b"3", b"4"], 0)
        assert self.served(killed_with_lock) == ([b"0", b"1", b"2", b"3", b"4"], 0)

    @pytest.mark.parametrize("left", [None, 0, 32])
    def test_without_its_log_it_is_refused_until_the_lock_file_is_deleted(
        self, killed_with_lock: Path, left: int | None
    ) -> None:
        log = killed_with_lock / WAL_NAME
        if left is None:
            log.unlink()
        else:
            os.truncate(log, left)

        for _ in range(2):
            with pytest.raises(DataDirError, match=f"{WAL_NAME} is missing or empty.*delete pub"):
                Disk(killed_with_lock)

        (killed_with_lock / LOCK_NAME).unlink()
        disk = Disk(killed_with_lock)
        assert list(disk.registry.topics) == []
        disk.stop()
        disk.loop.close()

    def test_a_log_without_its_end_is_logged(
        self, killed_with_lock: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = killed_with_lock / WAL_NAME
        content = log.read_bytes()
        self._keep_two_messages(log, content)

        assert self.served(killed_with_lock) == ([b"0", b"1"], 1)
        assert f"{WAL_NAME}: its end is missing, from frame " in caplog.text

    def test_a_log_that_was_begun_anew_may_be_shorter(
        self, killed_with_lock: Path, disk: Disk
    ) -> None:
        disk.database.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        disk.publish(b"5")
        disk.commit()
        for name in (FILE_NAME, WAL_NAME):  # and the lock file from before that commit
            shutil.copy(disk.directory / name, killed_with_lock)

        assert self.served(killed_with_lock) == ([b"0", b"1", b"2", b"3", b"4", b"5"], 0)

    def test_after_a_clean_end_nothing_depends_on_it(self, disk: Disk) -> None:
        disk.subscribe()
        disk.publish(b"1")
        disk.restart()
        disk.stop()
        assert not (disk.directory / WAL_NAME).exists()
        assert (disk.directory / LOCK_NAME).read_bytes() == b""

        disk.open()
        assert data(disk.reader()) == [b"1"]

    @pytest.mark.parametrize("content", [b"\0" * 70, b"in use, log", b"?" * 5000])
    def test_a_lock_file_that_says_nothing_is_no_obstacle(
        self, killed: Path, content: bytes
    ) -> None:
        (killed / LOCK_NAME).write_bytes(content)

        assert self.served(killed) == ([b"0", b"1", b"2", b"3", b"4"], 0)

    def _keep_two_messages(self, log: Path, content: bytes) -> None:
        """Cut the log after the commit of the second of five messages."""
        step = 24 + PAGE_SIZE
        ends = [
            end
            for end in range(32 + step, len(content) + 1, step)
            if content[end - step + 4 : end - step + 8] != bytes(4)
        ]
        log.write_bytes(content[: ends[-4]])


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def delivered(disk: Disk, name: str) -> list[bytes]:
    """What a Pull would be answered with, as the data of the messages."""

    async def pull() -> bytes:
        delivery = disk.registry.subscription(name).backlog
        with Attachment(delivery, FlowControl(), 10) as attachment:
            return attachment.encode(attachment.take())

    response = message_class("PullResponse").FromString(disk.loop.run_until_complete(pull()))
    return [each.message.data for each in response.received_messages]
