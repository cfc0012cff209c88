"""A worker process with async handlers, stopped by SIGTERM."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

from tests.support.ledger import Expected, check_lines, lines_said
from tests.support.processors import seconds_to_end
from tests.support.project import Project, read_until

Start = Callable[[], "subprocess.Popen[str]"]
Publish = Callable[[range], None]

SUBS = """
    import asyncio, os
    from rele import sub

    def say(text):
        os.write(1, f"{text}\\n".encode())

    @sub(topic="jobs")
    async def work(data, **attributes):
        say(f"begin {data}")
        try:
            await asyncio.sleep(SECONDS)
            say(f"end {data}")
        except asyncio.CancelledError:
            say(f"cancelled {data}")
            if SWALLOWS:
                await asyncio.sleep(60)
            raise
"""


def write(project: Project, *, seconds: float, swallows: bool = False, timeout: float) -> None:
    code = SUBS.replace("SECONDS", str(seconds)).replace("SWALLOWS", str(swallows))
    project.write("subs.py", code)
    project.write_settings(SHUTDOWN_TIMEOUT=timeout)


def stop(worker: subprocess.Popen[str]) -> tuple[str, float]:
    """Send SIGTERM; what the worker says then, and for how many seconds of its own it has run."""
    seconds = seconds_to_end(worker, signal.SIGTERM)
    output, _ = worker.communicate(timeout=60)
    return output, seconds


def test_handlers_that_end_in_time_finish(
    project: Project, start_worker: Start, publish: Publish
) -> None:
    write(project, seconds=1, timeout=20)
    worker = start_worker()
    publish(range(1))
    read_until(worker.stdout, "begin 0")

    output, _ = stop(worker)

    assert worker.returncode == 0, output
    assert "end 0" in output


def test_handlers_that_still_run_at_the_deadline_are_cancelled_and_their_messages_redelivered(
    project: Project, start_worker: Start, publish: Publish
) -> None:
    write(project, seconds=60, timeout=0.5)
    worker = start_worker()
    publish(range(20))
    said = "".join(read_until(worker.stdout, "begin") for _ in range(20))

    output, seconds = stop(worker)

    assert worker.returncode == 0, output
    assert output.count("cancelled") >= 20
    assert "20 handler(s) of jobs still ran at the end of the shutdown timeout" in output
    assert seconds < 5

    write(project, seconds=0, timeout=20)
    worker = start_worker()
    again = "".join(read_until(worker.stdout, "end") for _ in range(20))
    output, seconds = stop(worker)
    assert seconds < 5
    cancelled = [line.number for line in lines_said(said)]
    lines = [*lines_said(said, 1), *lines_said(again + output, 2)]
    assert check_lines(lines, range(20), expected=Expected(again=cancelled)) == []
    assert len(lines_said(again + output)) == 40, "each once"


def test_a_handler_that_swallows_its_cancellation_does_not_hang_the_stop(
    project: Project, start_worker: Start, publish: Publish
) -> None:
    write(project, seconds=60, swallows=True, timeout=0.5)
    worker = start_worker()
    publish(range(1))
    read_until(worker.stdout, "begin 0")

    output, seconds = stop(worker)

    assert worker.returncode == 1, output
    assert "1 handler(s) still ran after 0.5 s and are abandoned" in output
    assert seconds < 6
