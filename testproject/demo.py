"""The demo: a Pub/Sub server, the gallery's web server and its worker, together, until Ctrl-C.

Run it with `make demo`, or with `python -m testproject.demo`.
"""

import http.client
import io
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import NoReturn, TypeVar

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent
START_LIMIT = 60.0
STOP_LIMIT = 30.0
PAUSE = 0.05


class StoppedError(Exception):
    """Somebody asked for the end of the demo."""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def say(text: str) -> None:
    """Write one line at once; a terminal or pipe that is gone is no reason to fail."""
    with suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


class Child:
    """A `manage.py` command that runs beside the others, and what it has said.

    It has a session of its own: Ctrl-C reaches the whole process group of a terminal, and a child
    is to get one signal, the SIGTERM of `terminate`.
    """

    def __init__(
        self,
        name: str,
        *command: str,
        environment: dict[str, str],
        until: str | None = None,
        shown: bool = False,
    ) -> None:
        self.name = name
        self.announcement: str | None = None
        self._until = until
        self._shown = shown
        self._last_lines: deque[str] = deque(maxlen=30)
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def report(self) -> str:
        """Return how it ended, with the last it said."""
        self._reader.join(timeout=1)
        return "\n".join([f"{self.name} ended with status {self.status}:", *self._last_lines])

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def wait(self, limit: float) -> None:
        """Wait for its end; whoever takes longer than `limit` seconds is killed."""
        try:
            self._process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not stop within {STOP_LIMIT:.0f} s and is killed.")
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(timeout=1)

    def _read(self) -> None:
        """Follow the output to its end; `announcement` becomes the first match of `until`."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                text = line.rstrip()
                self._last_lines.append(text)
                if self._shown:
                    say(f"{self.name} | {text}")
                if self._until and not self.announcement:
                    found = re.search(self._until, text)
                    self.announcement = found and found.group()


class Demo:
    """The three servers of the demo."""

    def __init__(self) -> None:
        self._stopping = False
        self._servers: list[Child] = []
        self._command: Child | None = None
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "testproject.settings",
            "DEBUG": "true",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        }
        self._password = secrets.token_urlsafe(9)

    def request_stop(self, *_: object) -> None:
        """Take note of a signal. It may come in the middle of anything, so no more than that."""
        self._stopping = True

    def run(self) -> NoReturn:
        """Start the servers, and keep watch over them until one ends or a signal comes."""
        say("Starting the demo …")
        pubsub = self._start(
            "pubsub", "rele", "emulator", "--host-port", "127.0.0.1:0", until=r"127\.0\.0\.1:\d+"
        )
        self._complete("migrate", "--verbosity", "0")
        self._complete("demouser", DEMO_PASSWORD=self._password)
        address = self._wait_for(lambda: pubsub.announcement, "the Pub/Sub server")
        self._environment["PUBSUB_EMULATOR_HOST"] = address
        port = _free_port()
        self._start("web", "runserver", "--noreload", f"127.0.0.1:{port}")
        worker = self._start("worker", "runrele", "--relay", until="^Pulling messages", shown=True)
        self._wait_for(lambda: worker.announcement, "the worker")
        # The Pub/Sub server keeps nothing from one run of the demo to the next.
        self._complete("republish")
        self._wait_for(lambda: _answer(port), "the web server")
        say(
            "The admin, with subscriptions, outbox and inbox, is at "
            f"http://127.0.0.1:{port}/admin/ - user demo, password {self._password}"
        )
        say(f"The gallery is at http://127.0.0.1:{port}/ - press Ctrl-C to stop.")
        while True:
            self._watch()

    def stop(self) -> bool:
        """End what runs; tell whether all of it ended as it was asked to."""
        command = [self._command] if self._command else []
        # The others still need the Pub/Sub server while they end.
        unclean = _end(command + self._servers[1:]) + _end(self._servers[:1])
        for child in unclean:
            say(child.report())
        return not unclean

    def _start(
        self, name: str, *command: str, until: str | None = None, shown: bool = False
    ) -> Child:
        """Start a command that is to run until the end of the demo."""
        child = Child(name, *command, environment=self._environment, until=until, shown=shown)
        self._servers.append(child)
        return child

    def _complete(self, *command: str, **environment: str) -> None:
        """Run a command that ends by itself."""
        child = self._command = Child(
            command[0], *command, environment={**self._environment, **environment}
        )
        status = self._wait_for(lambda: child.status, command[0])
        if self._stopping:  # Ctrl-C reaches also a child that has no session of its own yet
            raise StoppedError
        if status != 0:
            raise DemoError(child.report())

    def _wait_for(self, condition: Callable[[], T | None], what: str) -> T:
        """Return what `condition` gives, as soon as that is something."""
        deadline = time.monotonic() + START_LIMIT
        while (found := condition()) is None:
            if time.monotonic() > deadline:
                raise DemoError(f"Gave up after {START_LIMIT:.0f} s of waiting for {what}.")
            self._watch()
        return found

    def _watch(self) -> None:
        """Let a moment pass; raise where the demo is to end, or a server has ended."""
        time.sleep(PAUSE)
        if self._stopping:
            raise StoppedError
        for server in self._servers:
            if server.status is not None:
                raise DemoError(server.report())


def _end(children: list[Child]) -> list[Child]:
    """End those of the children that run; return those that did not end cleanly."""
    running = [child for child in children if child.status is None]
    for child in running:
        child.terminate()
    deadline = time.monotonic() + STOP_LIMIT
    for child in running:
        child.wait(max(0.0, deadline - time.monotonic()))
    return [child for child in running if child.status not in (0, -signal.SIGTERM)]


def _free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answer(port: int) -> int | None:
    """Return the HTTP status of the gallery's page, or None while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main() -> int:
    """Run the demo; return its exit status."""
    demo = Demo()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, demo.request_stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    went_well = False
    try:
        demo.run()
    except StoppedError:
        say("\nStopping …")
        went_well = True
    except DemoError as error:
        say(str(error))
    finally:
        ended_well = demo.stop()
    return 0 if went_well and ended_well else 1


if __name__ == "__main__":
    sys.exit(main())
