from __future__ import annotations

import threading
import unittest
from datetime import timedelta

import pytest
from django.test import TestCase

import rele
from rele.testing import PublishedMessagesMixin, captured_messages

CONSOLE = {"PUBLISHER_BACKEND": "rele.backends.console.ConsoleBackend", "MIDDLEWARE": []}


class TestCapturedMessages:
    def test_what_is_published_is_in_the_list_and_nothing_is_sent(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rele.setup(CONSOLE)

        with captured_messages() as messages:
            assert rele.publish("photos", {"id": 1}, lang="en").result() == "1"
            thread = threading.Thread(target=rele.publish, args=("thumbs", 2))
            thread.start()
            thread.join()

        assert [(message.topic, message.json()) for message in messages] == [
            ("photos", {"id": 1}),
            ("thumbs", 2),
        ]
        assert messages[0].attributes["lang"] == "en"
        assert capsys.readouterr().out == ""

    def test_afterwards_messages_are_sent_again(self, capsys: pytest.CaptureFixture[str]) -> None:
        rele.setup(CONSOLE)
        with pytest.raises(ZeroDivisionError), captured_messages() as messages:
            raise ZeroDivisionError

        rele.publish("photos", 1)

        assert messages == []
        assert "[photos] 1" in capsys.readouterr().out

    def test_what_is_sent_later_is_in_the_list_with_its_time_until_it_is_cancelled(self) -> None:
        with captured_messages() as messages:
            scheduled = rele.publish_later("photos", 1, when=timedelta(hours=1), lang="en")
            assert [(message.json(), message.when) for message in messages] == [
                (1, timedelta(hours=1))
            ]
            assert messages[0].attributes["event_id"] == scheduled.event_id

            assert rele.cancel_scheduled(scheduled.event_id)
            assert messages == []

    def test_no_settings_are_needed(self) -> None:
        with captured_messages() as messages:
            rele.publish("photos", 1)

        assert len(messages) == 1

    def test_the_innermost_block_gets_a_message(self, rele_messages: list[object]) -> None:
        with captured_messages() as outer:
            with captured_messages() as inner:
                rele.publish("photos", 1)
            rele.publish("photos", 2)

        assert [[message.json() for message in each] for each in (outer, inner)] == [[2], [1]]
        assert rele_messages == []


class TestInATestCaseOfDjango(PublishedMessagesMixin, TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        rele.publish("photos", "set up")

    def setUp(self) -> None:
        """Without a call of the mixin's: there need not be any."""

    def test_one(self) -> None:
        assert self.published_messages == []
        rele.publish("photos", "one")
        assert [message.json() for message in self.published_messages] == ["one"]

    def test_another_begins_without_messages(self) -> None:
        self.test_one()


def run(test_case: type[unittest.TestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(test_case).run(result)
    return result


class TestInATestCaseOfTheStandardLibrary:
    def test_messages_are_captured_while_the_class_runs(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Photos(PublishedMessagesMixin, unittest.TestCase):
            def test_one(self) -> None:
                rele.publish("photos", 1)
                assert len(self.published_messages) == 1

            test_another = test_one

        rele.setup(CONSOLE)
        result = run(Photos)

        assert (result.testsRun, result.errors, result.failures) == (2, [], [])
        assert capsys.readouterr().out == ""
        rele.publish("photos", 2)
        assert "[photos] 2" in capsys.readouterr().out

    def test_messages_are_sent_again_where_the_class_cannot_be_set_up(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Broken(unittest.TestCase):
            @classmethod
            def setUpClass(cls) -> None:
                raise ZeroDivisionError

        class Photos(PublishedMessagesMixin, Broken):
            def test_one(self) -> None: ...

        rele.setup(CONSOLE)

        assert len(run(Photos).errors) == 1
        rele.publish("photos", 2)
        assert "[photos] 2" in capsys.readouterr().out

    def test_a_debugger_sees_a_test_begin_without_messages_too(self) -> None:
        class Photos(PublishedMessagesMixin, unittest.TestCase):
            def test_one(self) -> None:
                rele.publish("photos", 1)
                assert len(self.published_messages) == 1

        Photos.setUpClass()
        try:
            Photos("test_one").debug()
            Photos("test_one").debug()
        finally:
            Photos.doClassCleanups()


def test_the_mixin_comes_before_the_test_case() -> None:
    with pytest.raises(TypeError, match=r"class Photos\(PublishedMessagesMixin, TestCase\)"):

        class Photos(TestCase, PublishedMessagesMixin): ...
