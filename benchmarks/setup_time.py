"""How long a worker takes to set up on a distant server: ``python -m benchmarks.setup_time``.

Each figure is of a process of its own, which imports Relé, connects and sets up; the server is
another, behind a connection that delays each byte by half the latency, in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from rele.emulator.server import serve_until

SUBSCRIPTIONS = 100
LATENCY = 0.05
"""Seconds, of a call."""
ROUNDS = 7

SET_UP = """
import time
began = time.perf_counter()
import sys
from rele.config import Config
from rele.dead_letter_policy import DeadLetterPolicy
from rele.subscription import Subscription
from rele.worker import make_worker

project, count, policy = sys.argv[1], int(sys.argv[2]), eval(sys.argv[3])
subscriptions = [
    Subscription(print, f"topic-{number}", labels={"team": "shop"}, dead_letter_policy=policy)
    for number in range(count)
]
worker = make_worker(subscriptions, Config({"GC_PROJECT_ID": project, "MIDDLEWARE": []}))
imported = time.perf_counter()
worker.setup()
print(time.perf_counter() - imported, time.perf_counter() - began)
"""


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write what is read, in its order, half the latency later."""
    chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write_later() -> None:
        while True:
            due, chunk = await chunks.get()
            await asyncio.sleep(max(due - time.monotonic(), 0))
            if not chunk:
                writer.close()
                return
            writer.write(chunk)

    writing = asyncio.create_task(write_later())
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            chunks.put_nowait((time.monotonic() + LATENCY / 2, chunk))
    chunks.put_nowait((time.monotonic() + LATENCY / 2, b""))
    await writing


async def _serve() -> None:
    """A Pub/Sub server, and a port from which it is far away; print that one's address."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve_until(asyncio.Event(), "127.0.0.1", 0, started.set_result))
    host, port = (await started).split(":")

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_forward(reader, far_writer), _forward(far_reader, writer))

    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    far_port = proxy.sockets[0].getsockname()[1]
    print(f"127.0.0.1:{far_port}", flush=True)
    await server


@contextlib.contextmanager
def _distant_server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.setup_time", "serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def _set_up(address: str, project: str, policy: str) -> tuple[float, float]:
    """Seconds: of the set-up, and with the imports before it."""
    completed = subprocess.run(
        [sys.executable, "-c", SET_UP, project, str(SUBSCRIPTIONS), policy],
        env={**os.environ, "PUBSUB_EMULATOR_HOST": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    set_up, whole = map(float, completed.stdout.split())
    return set_up, whole


def main() -> None:
    with _distant_server() as address:
        for name, policy in (("", "None"), (" with dead letters", "DeadLetterPolicy()")):
            figures: dict[str, list[tuple[float, float]]] = {"missing": [], "there": []}
            for number in range(ROUNDS):
                project = f"project-{number}-{policy[:4].lower()}"
                for column in figures.values():
                    column.append(_set_up(address, project, policy))
            for state, column in figures.items():
                set_up, whole = (median(each) for each in zip(*column, strict=True))
                print(
                    f"{SUBSCRIPTIONS} subscriptions{name}, {state}, {LATENCY * 1000:.0f} ms a "
                    f"call, median of {ROUNDS}: {set_up:.2f} s, with the imports {whole:.2f} s"
                )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        main()
