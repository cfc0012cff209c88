"""Several worker processes under a supervisor: real processes and real signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.ledger import WRITE, Expected, Ledger, Line
from tests.support.project import Project, read_until

SUBS = (
    WRITE
    + """
    from pathlib import Path
    from rele import sub
    from rele.retry_policy import RetryPolicy

    @sub(topic="jobs", retry_policy=RetryPolicy(1, 2))
    def work(data, **kwargs):
        write(f"begin {data}")
        while Path("gate").exists():
            time.sleep(0.01)
        write(f"end {data}")
"""
)

THREADS = 2
"""How many handlers run at a time in a process."""

OCCUPYING = 200
"""Jobs, twice as many as a worker leases."""

DOORS = pytest.mark.parametrize(
    "door",
    [
        pytest.param(("-m", "rele", "run"), id="-m rele run"),
        # Both commands hand their arguments to the same function.
        pytest.param(("-m", "django", "runrele"), id="-m django runrele", marks=pytest.mark.slow),
    ],
)


class Workers:
    """A supervisor and its workers.

    Args:
        process: the supervisor.
        said: what it has said until all workers pull.
    """

    def __init__(self, process: subprocess.Popen[str], said: str) -> None:
        self.process = process
        self.said = said
        self.pids = [int(pid) for pid in re.findall(r"worker \d+ \(process (\d+)\)", said)]

    def read_until(self, text: str) -> str:
        said = read_until(self.process.stdout, text)
        self.said += said
        return said

    def end(self) -> tuple[int, str]:
        """The exit status, and all that was said."""
        output, _ = self.process.communicate(timeout=60)
        self.said += output
        return self.process.returncode, self.said


Start = Callable[..., Workers]


@pytest.fixture
def shop(project: Project) -> Project:
    """A project that both doors lead to, with a handler that waits while the gate is closed."""
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write_settings()
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write("INSTALLED_APPS = ['rele', 'shop']\n")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    return project


@pytest.fixture
def start(shop: Project) -> Start:
    """Start a supervisor, by default of two workers, and wait until these pull."""

    def start(*options: str, door: Sequence[str] = ("-m", "rele", "run")) -> Workers:
        options = options if "--processes" in options else ("--processes", "2", *options)
        process = shop.start(*door, *options)
        return Workers(process, read_until(process.stdout, "Pulling messages"))

    return start


def close_gate(project: Project) -> None:
    (project.folder / "gate").touch()


def open_gate(project: Project) -> None:
    (project.folder / "gate").unlink()


def wait_for(project: Project, word: str, count: int, seconds: float = 60) -> list[Line]:
    """The lines with the word, once there are ``count`` of them; fails after ``seconds``."""
    ledger = Ledger(project.folder)
    deadline = time.monotonic() + seconds
    while len(found := ledger.lines(word)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)  # other processes write the file
    return found


def occupy(project: Project, publish: Callable[[range], None]) -> list[Line]:
    """Close the gate and publish so many jobs that no worker can lease all of them.

    Returns:
        what has begun, two jobs in each of two workers.
    """
    close_gate(project)
    publish(range(OCCUPYING))
    return wait_for(project, "begin", 4)


def assert_what_has_begun_has_ended(
    project: Project, at_least: int = 4, threads: int = THREADS
) -> None:
    ledger = Ledger(project.folder)
    begun = ledger.count("begin")
    assert len(begun) >= at_least
    assert ledger.check(begun, expected=Expected(threads=threads)) == []


def wait_until_gone(pids: Sequence[int], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, pids
        time.sleep(0.02)  # they are no children of this process


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@DOORS
def test_messages_are_handled_in_all_processes_and_a_signal_stops_them(
    shop: Project, start: Start, publish: Callable[[range], None], door: Sequence[str]
) -> None:
    workers = start(door=door)
    begun = occupy(shop, publish)

    workers.process.send_signal(signal.SIGTERM)
    open_gate(shop)

    status, said = workers.end()
    assert status == 0, said
    assert {line.process for line in begun} == set(workers.pids)
    assert workers.process.pid not in workers.pids
    assert_what_has_begun_has_ended(shop)
    assert "Configuring worker with 1 subscription(s) in 2 process(es)..." in said
    assert said.count("Pulling messages") == 1
    assert "Traceback" not in said
    assert not any(map(is_alive, workers.pids))


@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_whole_group_is_one_signal(
    shop: Project, start: Start, publish: Callable[[range], None], signum: int
) -> None:
    """As Ctrl-C in a terminal is."""
    workers = start()
    occupy(shop, publish)

    os.killpg(workers.process.pid, signum)
    time.sleep(1.5)  # a second signal would end them now
    open_gate(shop)

    status, said = workers.end()
    assert status == 0, said
    assert_what_has_begun_has_ended(shop)
    assert "Traceback" not in said


SLOW_IMPORT = """
import os, time
from pathlib import Path

if "RELE_WORKER_PROCESS" in os.environ:
    os.write(1, b"importing\\n")  # in one piece: two processes do
    while Path("gate").exists():
        time.sleep(0.01)
"""


@DOORS
def test_a_signal_to_the_group_while_workers_start_stops_them_well(
    shop: Project, door: Sequence[str]
) -> None:
    """Python itself would end an import with a traceback."""
    with (shop.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(SLOW_IMPORT)
    close_gate(shop)
    supervisor = shop.start(*door, "--processes", "2")
    for _ in range(2):
        read_until(supervisor.stdout, "importing")

    os.killpg(supervisor.pid, signal.SIGINT)
    open_gate(shop)

    output, _ = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize("to_group", [False, True], ids=["supervisor", "group"])
def test_a_second_signal_ends_all_at_once(
    shop: Project, start: Start, publish: Callable[[range], None], to_group: bool
) -> None:
    workers = start()
    occupy(shop, publish)
    send = os.killpg if to_group else os.kill

    send(workers.process.pid, signal.SIGINT)
    time.sleep(1.1)  # one Ctrl-C may arrive twice within a second
    sent_at = time.monotonic()
    send(workers.process.pid, signal.SIGINT)

    status, said = workers.end()
    assert status == 1
    assert time.monotonic() - sent_at < 5
    assert said.count("A second signal ends the process at once: 2 running handler(s)") == 2, said
    assert Ledger(shop.folder).lines("end") == []
    assert not any(map(is_alive, workers.pids))


def test_a_worker_that_is_killed_is_replaced_and_its_messages_are_handled(
    shop: Project, start: Start, publish: Callable[[range], None]
) -> None:
    workers = start()
    occupy(shop, publish)

    os.kill(workers.pids[0], signal.SIGKILL)
    said = workers.read_until("Restarting it")
    workers.read_until("Started worker 1")
    open_gate(shop)
    ledger = Ledger(shop.folder)
    ledger.wait_for("end", OCCUPYING, 100)

    assert re.search(
        rf"Worker 1 \(process {workers.pids[0]}\) was killed by SIGKILL: unless somebody has "
        r"killed it, the system or the container was out of memory\. Restarting it in \d\.\d s\.",
        said,
    ), said
    workers.process.send_signal(signal.SIGTERM)
    assert workers.end()[0] == 0, "what has happened before does not count"
    expected = Expected(killed=workers.pids[:1], threads=THREADS)
    assert ledger.check(range(OCCUPYING), expected=expected) == []


def test_workers_end_what_they_have_begun_if_their_supervisor_is_killed(
    shop: Project, start: Start, publish: Callable[[range], None]
) -> None:
    workers = start()
    occupy(shop, publish)

    workers.process.kill()
    workers.process.wait(timeout=10)
    workers.read_until("The supervisor of this worker has ended")
    open_gate(shop)
    wait_until_gone(workers.pids)

    assert_what_has_begun_has_ended(shop)
    ledger = Ledger(shop.folder)
    assert len(ledger.count("end")) < OCCUPYING
    start()
    ledger.wait_for("end", OCCUPYING, 60)
    assert ledger.check(range(OCCUPYING), expected=Expected(threads=THREADS)) == []


def test_a_worker_that_does_not_stop_is_killed(
    shop: Project, publish: Callable[[range], None], start: Start
) -> None:
    """A handler may hold the interpreter, so that the worker cannot end by itself."""
    shop.write_settings(SHUTDOWN_TIMEOUT=0.5, PUBLISHER_TIMEOUT=0.1)
    shop.write(
        "subs.py",
        """
        import ctypes, os
        from rele import sub

        @sub(topic="jobs")
        def work(data, **kwargs):
            open("held", "w").write(str(os.getpid()))
            ctypes.PyDLL(None).sleep(600)  # which keeps the lock of the interpreter
        """,
    )
    (shop.folder / "shop" / "subs.py").unlink()
    workers = start()
    publish(range(1))
    held = shop.folder / "held"
    deadline = time.monotonic() + 30
    while not (held.exists() and held.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another process writes the file

    sent_at = time.monotonic()
    workers.process.send_signal(signal.SIGTERM)

    status, said = workers.end()
    assert status == 1
    assert time.monotonic() - sent_at < 15
    assert re.search(rf"\(process {held.read_text()}\) has not ended in time and is killed", said)


class TestRecycling:
    @pytest.mark.both_engines(slow="google")
    def test_by_messages_without_losing_or_repeating_any(
        self, shop: Project, start: Start, publish: Callable[[range], None]
    ) -> None:
        workers = start("--max-messages", "10")
        for count in (60, 120, 180):
            publish(range(count - 60, count))
            workers.read_until("Replacing worker")
            workers.read_until("Started worker")

        ledger = Ledger(shop.folder)
        ledger.wait_for("end", 180, 60)
        workers.process.send_signal(signal.SIGTERM)
        status, said = workers.end()

        assert status == 0, said
        assert ledger.check(range(180), expected=Expected(threads=THREADS)) == []
        assert len({line.process for line in ledger.lines("end")}) > 2
        assert re.search(r"it has handled \d+ message\(s\) \(--max-messages\)", said)
        assert "ERROR" not in said

    @pytest.fixture
    def slow_first(self, shop: Project) -> Project:
        """Only job 0 waits for the gate, for longer than the shutdown may take."""
        shop.write_settings(SHUTDOWN_TIMEOUT=0.2)
        with (shop.folder / "settings.py").open("a", encoding="utf-8") as file:
            file.write("INSTALLED_APPS = ['rele', 'shop']\n")
        shop.write("shop/subs.py", SUBS.replace("while ", "while data == 0 and "))
        close_gate(shop)
        return shop

    @pytest.mark.both_engines(slow="google")
    def test_a_handler_that_takes_long_ends_before(
        self, slow_first: Project, start: Start, publish: Callable[[range], None]
    ) -> None:
        workers = start("--processes", "1", "--max-messages", "1")
        publish(range(2))
        workers.read_until("Replacing worker 1")
        publish(range(2, 3))
        wait_for(slow_first, "end", 2)
        open_gate(slow_first)

        ends = wait_for(slow_first, "end", 3)
        wait_until_gone(workers.pids)
        workers.process.send_signal(signal.SIGTERM)
        status, said = workers.end()

        assert status == 0, said
        assert Ledger(slow_first.folder).check(range(3)) == []
        assert (workers.pids[0], 0) in [(line.process, line.number) for line in ends]
        assert "abandoned" not in said

    @pytest.mark.both_engines(slow="google")
    def test_a_signal_limits_the_time_of_that_handler_as_of_any(
        self, slow_first: Project, start: Start, publish: Callable[[range], None]
    ) -> None:
        workers = start("--processes", "1", "--max-messages", "1")
        publish(range(2))
        workers.read_until("Replacing worker 1")
        publish(range(2, 3))
        wait_for(slow_first, "end", 2)

        os.killpg(workers.process.pid, signal.SIGTERM)
        status, said = workers.end()

        assert status == 1
        assert "1 handler(s) still ran after 0.2 s and are abandoned" in said
        assert "A second signal" not in said

    def test_by_memory(self, shop: Project, start: Start, publish: Callable[[range], None]) -> None:
        shop.write(
            "shop/subs.py",
            SUBS + "        leak.append(bytearray(os.urandom(1) * (64 << 20)))\n\n    leak = []\n",
        )
        workers = start("--processes", "1", "--max-rss", "300M")
        publish(range(12))

        said = workers.read_until("Replacing worker")
        ledger = Ledger(shop.folder)
        ledger.wait_for("end", 12, 60)
        workers.process.send_signal(signal.SIGTERM)

        assert workers.end()[0] == 0
        assert re.search(
            r"it uses \d+ MiB of memory after \d+ message\(s\), and --max-rss allows 300 MiB", said
        )
        assert ledger.check(range(12), expected=Expected(threads=THREADS)) == []

    @DOORS
    def test_without_a_supervisor_the_worker_ends_well(
        self, shop: Project, publish: Callable[[range], None], door: Sequence[str]
    ) -> None:
        worker = shop.start(*door, "--max-messages", "3", "--threads", "1")
        said = read_until(worker.stdout, "Pulling messages")
        publish(range(10))

        output, _ = worker.communicate(timeout=60)

        assert worker.returncode == 0, said + output
        assert "The worker stops gracefully: it has handled 3 message(s)" in output
        assert_what_has_begun_has_ended(shop, at_least=3, threads=1)

    @pytest.mark.parametrize(
        "handler",
        [
            """
    @sub(topic="jobs")
    async def work(data, **kwargs):
        await asyncio.sleep(0)
        print(f"handled {data}", flush=True)
            """,
            """
    @sub(topic="jobs", batch=Batch(max_messages=2))
    def work(messages):
        for message in messages:
            print(f"handled {message.data}", flush=True)
            """,
        ],
        ids=["async", "batch"],
    )
    def test_each_message_counts_whatever_the_handler(
        self, shop: Project, publish: Callable[[range], None], handler: str
    ) -> None:
        shop.write(
            "shop/subs.py", "    import asyncio\n    from rele import Batch, sub\n" + handler
        )
        worker = shop.start("-m", "rele", "run", "--max-messages", "4")
        said = read_until(worker.stdout, "Pulling messages")
        publish(range(20))

        output, _ = worker.communicate(timeout=60)

        assert worker.returncode == 0, said + output
        assert "The worker stops gracefully: it has handled 4 message(s)" in output
        assert output.count("handled ") - 1 >= 4, "and none that was begun is cut off"

    @DOORS
    @pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["one", "two"])
    def test_a_limit_below_what_a_worker_needs_is_one_error(
        self, shop: Project, door: Sequence[str], processes: Sequence[str]
    ) -> None:
        status, output = shop.run(*door, "--max-rss", "1M", *processes)

        assert status == 1
        assert len(re.findall(r"uses \d+ MiB of memory before its first message", output)) == 1
        assert "Raise --max-rss." in output
        assert "Traceback" not in output


@DOORS
def test_what_keeps_all_workers_from_starting_is_one_error(
    shop: Project, door: Sequence[str]
) -> None:
    shop.environment["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:1"

    status, output = shop.run(*door, "--processes", "3")

    assert status == 1
    assert output.count("Pub/Sub cannot be reached at 127.0.0.1:1") == 1, output
    assert "Traceback" not in output


@DOORS
def test_what_is_wrong_with_the_settings_is_said_once_and_nothing_is_started(
    shop: Project, door: Sequence[str]
) -> None:
    with (shop.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write("RELE['ACK_DEADLINE'] = 'soon'\n")

    status, output = shop.run(*door, "--processes", "3")

    assert (status, output.count("ACK_DEADLINE")) == (1, 2), output
    assert "Started worker" not in output


@DOORS
def test_subscriptions_are_chosen_by_patterns(
    shop: Project, door: Sequence[str], start: Start
) -> None:
    shop.write(
        "shop/subs.py",
        """
        from rele import sub

        for topic in ("order-paid", "order-sent", "photos"):
            vars()[topic] = sub(topic=topic)(lambda data, **kwargs: None)
        """,
    )
    workers = start("--only", "order-*", "--exclude", "*-sent", door=door)
    workers.process.send_signal(signal.SIGTERM)
    status, said = workers.end()
    assert status == 0
    assert "Configuring worker with 1 subscription(s) in 2 process(es)...\n  order-paid - " in said

    status, said = shop.run(*door, "--processes", "2", "--only", "orders-*")
    assert status == 1
    assert (
        said.count("--only 'orders-*' matches no subscription of this project. Did you mean") == 1
    )


def test_lines_of_workers_begin_with_their_numbers(
    shop: Project, start: Start, publish: Callable[[range], None]
) -> None:
    shop.write_settings(MIDDLEWARE=["rele.contrib.LoggingMiddleware"])
    workers = start()
    publish(range(1))

    line = workers.read_until(" processed, ").splitlines()[-1]

    assert re.match(r"\[[12]\] \d{4}-\d\d-\d\d [\d:,]+ INFO jobs: message \d+ processed, ", line)


def test_a_program_that_calls_the_command_itself(shop: Project) -> None:
    """Its workers run the same program."""
    script = shop.write(
        "serve.py",
        """
        import django
        from django.core.management import call_command

        django.setup()
        call_command("runrele", "--processes", "2")
        """,
    )
    process = shop.start(str(script))
    workers = Workers(process, read_until(process.stdout, "Pulling messages"))
    workers.process.send_signal(signal.SIGTERM)

    assert workers.end()[0] == 0
    assert len(workers.pids) == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("sys.executable = '/no/such/python'", "could not be started: [Errno 2] No such file"),
        (
            "if 'RELE_WORKER_PROCESS' in os.environ: sys.exit(0)",
            "ended with status 0 although nobody has asked it to stop.",
        ),
        (
            "if 'RELE_WORKER_PROCESS' in os.environ: os.abort()",
            "was ended by SIGABRT (Aborted).",
        ),
    ],
)
def test_a_program_whose_workers_never_start_is_no_hot_loop(
    shop: Project, line: str, why: str
) -> None:
    script = shop.write(
        "serve.py",
        f"""
        import os, sys
        import django
        from django.core.management import call_command

        {line}
        django.setup()
        call_command("runrele", "--processes", "1")
        """,
    )
    process = shop.start(str(script))
    said = read_until(process.stdout, "Restarting it")
    said += read_until(process.stdout, "Restarting it")
    process.send_signal(signal.SIGTERM)

    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said + output
    assert said.count(why) == 2, said
    first, second = map(float, re.findall(r"Restarting it in ([\d.]+) s", said))
    assert 0.5 <= first <= 1 <= second <= 2
    assert "Traceback" not in said + output


def test_the_autoreloader_of_django_and_processes_do_not_go_together(shop: Project) -> None:
    script = shop.write(
        "reload.py",
        """
        import os
        import django
        from django.core.management import call_command
        from django.utils import autoreload

        def serve():
            try:
                call_command("runrele", "--processes", "2")
            except Exception as error:
                print(error, flush=True)
            os._exit(4)

        django.setup()
        autoreload.run_with_reloader(serve)
        """,
    )

    status, output = shop.run(str(script))

    assert "--processes needs the main thread, which Django's autoreloader does not give" in output
    assert "Started worker" not in output
    assert status == 4
