from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rele.cli.seek import time_of
from rele.exceptions import ReleError

NOW = datetime(2026, 11, 26, 14, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30min", timedelta(minutes=30)),
        ("30m", timedelta(minutes=30)),
        ("2h ago", timedelta(hours=2)),
        ("1.5d", timedelta(days=1.5)),
        ("2026-11-26T13:00Z", timedelta(hours=1)),
        ("2026-11-26T15:00+02:00", timedelta(hours=1)),
        ("2026-11-26 12:30:00+00:00", timedelta(hours=1.5)),
    ],
)
def test_a_time(text: str, ago: timedelta) -> None:
    assert time_of(text, NOW) == NOW - ago


def test_a_time_without_a_zone_is_that_of_the_machine() -> None:
    assert time_of("2026-11-26T13:00", NOW) == datetime(2026, 11, 26, 13).astimezone()


@pytest.mark.parametrize("text", ["before", "projects/p/snapshots/before", "nowadays"])
def test_the_name_of_a_snapshot(text: str) -> None:
    assert time_of(text, NOW) is None


@pytest.mark.parametrize(
    "text", ["2x", "2026-13-01", "12", "99999999999999d", "9" * 400 + "s", "0001-01-01"]
)
def test_what_is_neither(text: str) -> None:
    with pytest.raises(ReleError, match="is no time"):
        time_of(text, NOW)
