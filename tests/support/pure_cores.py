"""What decides needs nothing but Python: its tests run without Google's libraries, gRPC and Django.

``python -m tests.support.pure_cores`` runs them, with these blocked where they are installed. It
needs pytest and hypothesis alone, so that it runs on a free-threaded Python for which the others
have no wheels.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]

PURE = (
    "consuming.worker_health",
    "contrib.outbox.relaying.core",
    "contrib.outbox.relaying.feeding",
    "contrib.outbox.relaying.lanes_in_memory",
    "contrib.outbox.relaying.locked_rows",
    "contrib.outbox.relaying.looking_back",
    "contrib.outbox.relaying.looks",
    "contrib.outbox.relaying.rows",
    "contrib.outbox.relaying.shares",
    "contrib.outbox.relaying.times",
    "engine.availability",
    "engine.leases",
    "engine.native.consuming.answers",
    "engine.native.consuming.batching",
    "engine.native.consuming.blocked",
    "engine.native.consuming.consume_actions",
    "engine.native.consuming.consume_core",
    "engine.native.consuming.consumer_options",
    "engine.native.consuming.counts",
    "engine.native.consuming.delivery",
    "engine.native.consuming.flow",
    "engine.native.consuming.handed",
    "engine.native.consuming.lease_keeper",
    "engine.native.consuming.lease_times",
    "engine.native.consuming.ordered_key",
    "engine.native.consuming.ordered_keys",
    "engine.native.consuming.pull_streams",
    "engine.native.consuming.pulse",
    "engine.native.consuming.settled_queue",
    "engine.native.publishing.bounds",
    "engine.native.publishing.lanes",
    "engine.native.publishing.outgoing",
    "engine.native.publishing.publish_core",
    "engine.native.publishing.publish_outage",
    "engine.native.publishing.retrying",
    "engine.outage_reports",
    "engine.restarts",
    "engine.times",
    "resources.deleted_topics",
    "runtime.recycling_rule",
    "runtime.worker_processes",
)
"""They decide; time and the world are given to them."""

BLOCKED = ("django", "flask", "google", "grpc", "msgspec", "psycopg")


class Blocker:
    """Finds none of ``BLOCKED``."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)


def test_files() -> Iterator[Path]:
    """The tests of what is in the core: a room may need what it is about."""
    for module in PURE:
        *folders, name = module.split(".")
        if folders[0] != "contrib":
            yield from REPOSITORY.joinpath("tests/unit", *folders).glob(f"test_{name}*.py")


def main(*arguments: str) -> int:
    """Run the tests; return pytest's status."""
    is_free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Free-threaded: {is_free_threaded}, global lock: {has_gil}", flush=True)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.meta_path.insert(0, Blocker())  # type: ignore[arg-type]
    import hypothesis
    import pytest

    hypothesis.settings.register_profile("bare", deadline=None)
    hypothesis.settings.load_profile("bare")
    # The project's options and fixtures are about what is blocked.
    options = ["-c", os.devnull, "--rootdir", str(REPOSITORY), "--noconftest", "-W", "error"]
    options += ["-p", "no:cacheprovider", "-ra"]
    return int(pytest.main([*options, *arguments, *map(str, sorted(set(test_files())))]))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
