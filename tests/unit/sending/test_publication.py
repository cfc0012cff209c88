from __future__ import annotations

import logging

import pytest

from rele.contrib import LoggingMiddleware
from rele.middleware import BaseMiddleware
from rele.sending.publication import has_success_hooks
from tests.support.in_use import register
from tests.support.recorder import Recorder


class Old:
    def setup(self, config: object, **kwargs: object) -> None:
        """It needs nothing."""

    def post_publish(self, topic: str) -> None:
        """The former name of ``post_publish_success``."""


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [(BaseMiddleware(), False), (Recorder(), True), (Old(), True)],
    ids=lambda value: type(value).__name__,
)
def test_whether_a_success_has_any_hooks(middleware: object, expected: bool) -> None:
    register(middleware)

    assert has_success_hooks() is expected


@pytest.mark.parametrize(("level", "expected"), [(logging.INFO, True), (logging.WARNING, False)])
def test_a_success_that_is_not_logged_needs_no_hook(
    level: int, expected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    register(LoggingMiddleware())
    caplog.set_level(level, "rele.contrib.logging_middleware")

    assert has_success_hooks() is expected
