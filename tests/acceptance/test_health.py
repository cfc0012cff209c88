"""What the probes of real workers say while they start, work, stall, lose Pub/Sub, and stop."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.support.polling import wait_until
from tests.support.probes import Probes, probes_of, process_id_of
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.stub_servers import SilentServer, StubServer

Publish = Callable[[range], None]

ANY_PORT = ("--health-port", "127.0.0.1:0")

SUBS = """
    import gc, re, time
    from pathlib import Path
    from rele import sub

    @sub(topic="jobs")
    def work(data, **kwargs):
        Path(f"begun-{data}").touch()
        while Path("gate").exists():
            time.sleep(0.01)
        if data == 666:
            re.match("(a+)+$", "a" * 60 + "b")  # takes years, and never releases the interpreter
        if data == 13:
            [engine] = [each for each in gc.get_objects() if type(each).__name__ == "PullLoop"]
            engine.loop.call_soon_threadsafe(time.sleep, 3600)
"""

IMPATIENT = """
    import sys
    from functools import partial
    from rele import cli
    from rele.consuming import worker_health
    from rele.engine.native.consuming import inquiry, pulse
    from rele.project import startup

    startup.Fleet = partial(startup.Fleet, silent_after=3.0)
    worker_health.REFUSED_FOR, inquiry.ASKED_AFTER, pulse.LATE = 2.0, 0.2, 2.0
    sys.exit(cli.main())
"""
"""``rele-cli`` that waits for seconds where it waits for minutes."""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("subs.py", SUBS)
    project.write("impatient.py", IMPATIENT)
    return project


@pytest.fixture
def start(shop: Project) -> Callable[..., tuple[subprocess.Popen[str], Probes]]:
    """Start a worker with these options, and return once its probes are answered."""

    def start(
        *options: str, door: tuple[str, ...] = ("-m", "rele")
    ) -> tuple[subprocess.Popen[str], Probes]:
        process = shop.start(*door, "run", *ANY_PORT, *options)
        return process, probes_of(process)

    return start


Start = Callable[..., tuple["subprocess.Popen[str]", Probes]]


def wait_until_begun(project: Project, number: int) -> None:
    wait_until((project.folder / f"begun-{number}").exists, 30)


def test_a_worker_that_sets_up_is_live_and_not_ready(shop: Project, start: Start) -> None:
    with SilentServer("CreateTopic").listening() as server:
        shop.environment["PUBSUB_EMULATOR_HOST"] = server.address
        _, probes = start()
        server.calls.wait_for(1)

        assert probes.get("/livez") == (200, "live\n")
        status, body = probes.get("/readyz")

    assert status == 503
    assert body.startswith("not ready\nworker: ")


def test_a_worker_that_consumes_is_ready_and_says_what_waits(
    shop: Project, start: Start, publish: Publish
) -> None:
    _, probes = start()
    probes.wait_for("/readyz", 200)
    (shop.folder / "gate").touch()
    publish(range(5))

    def backlog() -> object:
        return probes.status()["processes"][0]["subscriptions"][0]["backlog"]

    wait_until(lambda: (backlog() or {"messages": 0})["messages"] == 5, 30, backlog)  # type: ignore[index]
    assert probes.get("/readyz") == (200, "ready\n")
    assert probes.live == 200
    assert probes.get("/metrics")[0] == 404


@pytest.fixture
def proxy(shop: Project, embedded_server: str) -> Iterator[Proxy]:
    """What the worker reaches its server through."""
    with Proxy(embedded_server) as proxy:
        shop.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        yield proxy


@pytest.mark.both_engines(slow="google")
def test_an_outage_of_pubsub_turns_readyz_red_and_never_livez(proxy: Proxy, start: Start) -> None:
    _, probes = start()
    probes.wait_for("/readyz", 200)

    proxy.cut()
    probes.wait_for("/readyz", 503)
    assert probes.live == 200

    proxy.resume()
    probes.wait_for("/readyz", 200, seconds=60)
    assert probes.live == 200


@pytest.mark.both_engines(slow="google")
def test_a_worker_that_drains_is_live_and_not_ready(
    shop: Project, start: Start, publish: Publish
) -> None:
    process, probes = start()
    probes.wait_for("/readyz", 200)
    (shop.folder / "gate").touch()
    publish(range(1))
    wait_until_begun(shop, 0)

    process.send_signal(signal.SIGTERM)

    probes.wait_for("/readyz", 503, "worker: ")
    assert probes.live == 200
    (shop.folder / "gate").unlink()
    assert process.wait(30) == 0


def test_a_handler_beyond_its_limit_turns_livez_red(
    shop: Project, start: Start, publish: Publish
) -> None:
    shop.write_settings(HANDLER_LIMIT=1)
    _, probes = start()
    probes.wait_for("/readyz", 200)
    (shop.folder / "gate").touch()

    publish(range(1))

    said = probes.wait_for("/livez", 503)
    assert said.startswith("not live\njobs: A handler has been running for ")
    (shop.folder / "gate").unlink()
    probes.wait_for("/livez", 200)


def test_an_engine_whose_loop_is_stuck_turns_livez_red(start: Start, publish: Publish) -> None:
    _, probes = start(door=("impatient.py",))
    probes.wait_for("/readyz", 200)

    publish(range(13, 14))

    probes.wait_for("/livez", 503, "not live\njobs: The engine does not run: ")


class StreamRefusing(StubServer):
    """Answers every call, but lets no stream be opened."""

    def answer(self, method: str, context: grpc.ServicerContext) -> Iterator[bytes]:
        if method == "StreamingPull":
            context.abort(grpc.StatusCode.INTERNAL, "Try again.")
        yield b""


def test_a_stream_that_cannot_be_opened_for_long_turns_livez_red_if_other_calls_are_answered(
    shop: Project, start: Start
) -> None:
    shop.write_settings(RESOURCES="ignore")
    with StreamRefusing().listening() as server:
        shop.environment["PUBSUB_EMULATOR_HOST"] = server.address
        _, probes = start(door=("impatient.py",))
        assert probes.live == 200

        said = probes.wait_for("/livez", 503)

    assert re.match(r"not live\njobs: No stream could be opened for \d+ s, although Pub/Sub", said)


def test_a_handler_that_holds_the_interpreter_lets_the_probe_fail(
    shop: Project, start: Start, publish: Publish
) -> None:
    _, probes = start()
    probes.wait_for("/readyz", 200)

    publish(range(666, 667))
    wait_until_begun(shop, 666)

    wait_until(lambda: not probes.succeeds("/livez", timeout=1), 30)
    status, said = shop.run(
        *("-m", "rele", "health", "--live", "--health-port", probes.address, "--timeout", "1")
    )
    assert status == 1
    assert "a handler holds the interpreter" in said


ONE_IS_SILENT = re.compile(
    r"not live\n\S+:\d+/\d: worker: It has not reported for \d+ s: a handler holds the "
    r"interpreter, .*\n"
)
"""The other process is live."""


class TestSeveralProcesses:
    def test_have_one_address_that_is_green_if_all_are(
        self, shop: Project, start: Start, publish: Publish
    ) -> None:
        process, probes = start("--processes", "2")
        assert probes.live == 200
        probes.wait_for("/readyz", 200)
        pids = [process_id_of(each["process"]) for each in probes.status()["processes"]]
        assert len(set(pids)) == 2

        os.kill(pids[1], signal.SIGKILL)
        probes.wait_for("/readyz", 503, f":{pids[1]}/2: worker: It has ended")
        assert probes.live == 200
        probes.wait_for("/readyz", 200)

        (shop.folder / "gate").touch()
        publish(range(1))
        wait_until_begun(shop, 0)
        process.send_signal(signal.SIGTERM)
        probes.wait_for("/readyz", 503)
        assert probes.live == 200
        (shop.folder / "gate").unlink()
        assert process.wait(30) == 0

    def test_one_in_which_a_handler_holds_the_interpreter_is_red_with_the_reason(
        self, shop: Project, start: Start, publish: Publish
    ) -> None:
        _, probes = start("--processes", "2", door=("impatient.py",))
        probes.wait_for("/readyz", 200)

        publish(range(666, 667))
        wait_until_begun(shop, 666)

        wait_until(lambda: ONE_IS_SILENT.fullmatch(probes.get("/livez")[1]) is not None, 60)
        assert probes.live == 503


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_busy_port_is_one_clear_error(shop: Project, options: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        status, said = shop.run("-m", "rele", "run", "--health-port", f"127.0.0.1:{port}", *options)

    assert status == 1
    assert said.splitlines()[-1] == (
        f"Error: --health-port 127.0.0.1:{port}: another process listens on this port already. "
        "Stop that, or choose another port."
    )
    assert "Traceback" not in said


def test_what_is_no_port_is_refused(shop: Project) -> None:
    status, said = shop.run("-m", "rele", "run", "--health-port=99999")

    assert status == 2
    assert "'99999' is neither a port nor HOST:PORT: write 8080 for all interfaces" in said
