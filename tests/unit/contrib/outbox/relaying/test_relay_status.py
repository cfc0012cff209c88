"""What a process says of itself that has nothing but relays."""

from __future__ import annotations

from dataclasses import dataclass, field

from rele.contrib.outbox.relaying.relay_status import RelayProcessStatus
from rele.status.health import HealthJudge
from rele.status.providers import Status
from rele.status.snapshot import Phase


@dataclass
class Relays:
    """Stands for the relays of a process."""

    shards: dict[str, int] = field(default_factory=lambda: {"default": 16})
    complaints: list[str] = field(default_factory=list)
    is_stopping: bool = False


def test_it_is_ready_while_it_sends_and_live_all_the_time() -> None:
    relays, status = Relays(), Status()
    of_process = RelayProcessStatus(relays, lambda: relays.is_stopping)  # type: ignore[arg-type]
    status.add(of_process)

    def seen() -> tuple[Phase | None, tuple[str, ...]]:
        snapshot = status.snapshot()
        health = HealthJudge().judge([snapshot], now=0)
        assert health.is_live
        return snapshot.phase, health.not_ready

    starting = "relay: It starts: it waits for the database of the outbox."
    assert seen() == (Phase.STARTING, (starting,))
    of_process.has_begun = True
    assert seen() == (Phase.SENDING, ())
    relays.complaints.append("The outbox is unavailable")
    assert seen() == (Phase.SENDING, ("outbox: The outbox is unavailable",))
    relays.complaints.clear()
    relays.is_stopping = True
    stopping = "relay: It stops: it sends nothing more, and waits for outcomes."
    assert seen() == (Phase.DRAINING, (stopping,))
    assert [figure.value for figure in status.snapshot().figures] == [16]
