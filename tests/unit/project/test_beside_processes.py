"""What middlewares run in the process that supervises others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rele.config import Config
from rele.middleware import BaseMiddleware
from rele.project.beside_processes import beside_processes

seen: list[Any] = []


class Beside(BaseMiddleware):
    @classmethod
    @contextmanager
    def beside_processes(cls, config: Config) -> Iterator[None]:
        seen.append(config.gc_project_id)
        yield
        seen.append("ended")


class NoBase:
    """A middleware need not extend BaseMiddleware."""


def test_they_run_until_the_block_ends() -> None:
    seen.clear()
    paths = [f"{__name__}.{name}" for name in ("NoBase", "Beside")]
    config = Config(
        {"GC_PROJECT_ID": "shop", "MIDDLEWARE": [*paths, "rele.contrib.LoggingMiddleware"]}
    )

    with beside_processes(config):
        assert seen == ["shop"]

    assert seen == ["shop", "ended"]
