from __future__ import annotations

import time
from uuid import RFC_4122, UUID

from rele.contrib.outbox.event_id import new_event_id


def test_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    event_id = UUID(new_event_id())
    after = time.time_ns() // 1_000_000

    assert (event_id.version, event_id.variant) == (7, RFC_4122)
    assert before <= event_id.int >> 80 <= after


def test_is_another_each_time() -> None:
    assert len({new_event_id() for _ in range(10_000)}) == 10_000
