"""The databases and the processes that the outbox's benchmarks are made of."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

SETTINGS = "benchmarks.outbox_settings"

_PATIENCE_SECONDS = 120.0

_EMPTY = "outbox_empty"

FILL = """
INSERT INTO rele_outbox_outboxmessage
    (event_id, topic, data, attributes, ordering_key, state, created_at, attempts,
     next_attempt_at, last_error, lane, shard)
SELECT gen_random_uuid()::text, 'order-paid',
       convert_to('{{"id": ' || n || ', "text": "' || repeat('x', 180) || '"}}', 'UTF8'),
       jsonb_build_object('country', 'ES', 'event_id', gen_random_uuid()::text),
       {ordering_key}, {state}, now(), 0, {next_attempt_at}, '',
       lane, coalesce(lane % 16, n % 16)
FROM generate_series(1, {number}) AS n,
     LATERAL (SELECT hashtextextended(nullif({ordering_key}, ''), 0) & x'7fffffff'::bigint AS lane)
     AS derived
"""


@dataclass(frozen=True)
class Rows:
    """Rows of the outbox; the fields are SQL, in which ``n`` counts the rows from 1."""

    number: int
    state: str = "0"
    ordering_key: str = "''"
    next_attempt_at: str = "now()"

    def write(self, url: str, *, vacuum: bool = True) -> None:
        """Write them, and let the planner know the table."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL.format(**vars(self)))  # type: ignore[arg-type]
            vacuuming = "VACUUM ANALYZE" if vacuum else "ANALYZE"
            connection.execute(f"{vacuuming} rele_outbox_outboxmessage")  # type: ignore[arg-type]


@dataclass
class Databases:
    """Databases of one server, each a copy of one that is migrated and empty."""

    server_url: str
    _number: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._execute(f"CREATE DATABASE {_EMPTY}")
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            env=environment(self._url_of(_EMPTY)),
            check=True,
            timeout=_PATIENCE_SECONDS,
        )

    @contextlib.contextmanager
    def new(self) -> Iterator[str]:
        """The URL of a new one, which is dropped in the end."""
        self._number += 1
        name = f"outbox_{self._number}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_EMPTY}")
        try:
            yield self._url_of(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url_of(self, name: str) -> str:
        return f"{self.server_url.rpartition('/')[0]}/{name}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]


def environment(url: str, **more: str) -> dict[str, str]:
    """Of a process that uses the database at ``url``."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, "DATABASE_URL": url, **more}


class Child:
    """A process of :mod:`benchmarks.outbox_child`, which is given numbers and answers each."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.outbox_child", *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Return when it waits for its first number."""
        assert self._read_line() == "ready\n"

    def ask(self, number: float) -> None:
        """Let it work; :meth:`answer` has the outcome."""
        assert self._process.stdin is not None
        print(number, file=self._process.stdin, flush=True)

    def answer(self) -> Any:
        """Wait for what its task has returned."""
        return json.loads(self._read_line())

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _PATIENCE_SECONDS)[0]:
            raise TimeoutError(f"A process said nothing for {_PATIENCE_SECONDS:.0f} s.")
        return self._process.stdout.readline()


@contextlib.contextmanager
def children(number: int, *arguments: str, environment: Mapping[str, str]) -> Iterator[list[Child]]:
    """So many processes that are ready; they are killed in the end."""
    started: list[Child] = []
    try:
        started += [Child(arguments, environment) for _ in range(number)]
        for child in started:
            child.wait_until_ready()
        yield started
    finally:
        for child in started:
            child.kill()
