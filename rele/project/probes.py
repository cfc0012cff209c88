"""The probes of a worker, or of a supervisor for all its workers, where ``--health-port`` asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rele.runtime.health_server import answering
from rele.status.providers import STATUS
from rele.status.replies import Replies
from rele.status.snapshot import Snapshot

OPTION = "health_port"
"""The option of the command line, as it is parsed."""


@contextmanager
def answering_probes(
    options: Mapping[str, Any],
    write: Callable[[str], object],
    snapshots: Callable[[], Sequence[Snapshot]] = lambda: [STATUS.snapshot()],
) -> Iterator[None]:
    """Within the block, answer at the address of ``--health-port``, if there is one.

    Args:
        options: of the command line.
        write: takes the line that says where.
        snapshots: gives one of each process; by default this one's.

    Raises:
        ConfigurationError: this process cannot listen there.
    """
    address = options.get(OPTION)
    if address is None:
        yield
        return
    replies = Replies(snapshots, lambda: STATUS.metrics, time.monotonic)
    with answering(address, replies.reply) as where:
        write(f"Answering /livez, /readyz, /metrics and /status on http://{where}.")
        yield
