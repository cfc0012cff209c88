"""Statements that are tried again."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connections

from rele.contrib.outbox.relaying.own_connection import autocommitting, run_statement
from tests.support.outbox import ALIAS

pytestmark = pytest.mark.usefixtures("sqlite")


class ServerError(Exception):
    """A driver's."""

    def __init__(self, **codes: str) -> None:
        super().__init__("refused")
        for name, code in codes.items():
            setattr(self, name, code)


def error_of(*args: object, **codes: str) -> OperationalError:
    """As Django makes it of a driver's."""
    error = OperationalError(*args)
    error.__cause__ = ServerError(**codes)
    return error


class Statement:
    """Fails a number of times."""

    def __init__(self, error: OperationalError, times: int) -> None:
        self._error = error
        self._times = times
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return "done"


@pytest.mark.parametrize(
    "error",
    [
        error_of("could not serialize access", sqlstate="40001"),
        error_of("deadlock detected", sqlstate="40P01"),
        error_of("deadlock detected", pgcode="40P01"),
        error_of(1213, "Deadlock found when trying to get lock"),
        error_of(1205, "Lock wait timeout exceeded"),
        error_of(1020, "Record has changed since last read"),
    ],
    ids=["serialization", "deadlock", "psycopg2", "MySQL", "lock wait", "MariaDB"],
)
def test_one_that_has_met_another_is_tried_again(error: OperationalError) -> None:
    statement = Statement(error, times=3)

    assert run_statement(ALIAS, statement) == "done"
    assert statement.calls == 4


def test_one_that_always_meets_another_fails_in_the_end() -> None:
    statement = Statement(error_of(1213, "Deadlock found"), times=100)

    with pytest.raises(OperationalError, match="Deadlock found"):
        run_statement(ALIAS, statement)
    assert statement.calls == 10


@pytest.mark.parametrize(
    "error", [error_of("server closed", sqlstate="57P01"), error_of(2006, "gone away"), error_of()]
)
def test_any_other_error_is_raised_at_once(error: OperationalError) -> None:
    statement = Statement(error, times=1)

    with pytest.raises(OperationalError):
        run_statement(ALIAS, statement)
    assert statement.calls == 1


def test_each_statement_runs_in_autocommit_also_on_a_new_connection() -> None:
    for _ in range(2):
        connection = autocommitting(ALIAS)
        connection.set_autocommit(False)
        assert run_statement(ALIAS, connections[ALIAS].get_autocommit)
        connection.close()
