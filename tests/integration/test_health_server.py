"""The HTTP server of probes, asked over the network of this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from rele import cli
from rele.exceptions import ConfigurationError
from rele.runtime.health_server import Address, answering
from rele.status.replies import Reply
from tests.support.polling import wait_until
from tests.support.probes import Probes

LOCAL = ("127.0.0.1", 0)


def echo(path: str) -> Reply:
    """Red for ``/readyz`` alone."""
    status = 503 if path == "/readyz" else 200
    return Reply(status, "text/plain", f"{path}\n".encode())


@pytest.fixture
def address() -> Iterator[str]:
    with answering(LOCAL, echo) as address:
        yield address


def ask(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection(address, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_it_answers(address: str) -> None:
    assert ask(address, "/livez") == (200, "/livez\n")
    assert ask(address, "/readyz") == (503, "/readyz\n")


def test_a_query_changes_nothing(address: str) -> None:
    assert ask(address, "/livez?verbose=1") == (200, "/livez\n")


def test_head_has_no_body_and_nothing_else_is_served(address: str) -> None:
    assert ask(address, "/livez", "HEAD") == (200, "")
    for method in ("POST", "PUT", "DELETE"):
        assert ask(address, "/livez", method)[0] == 501


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_without_a_host_it_answers_on_all_interfaces(host: str) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    with answering(("", 0), echo) as address:
        port = address.rpartition(":")[2]
        assert ask(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "/livez")[0] == 200


def test_a_client_that_says_nothing_delays_no_other(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))), socket.create_connection((host, int(port))):
        assert ask(address, "/livez")[0] == 200


def test_a_client_that_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rele.runtime.health_server._Handler.timeout", 0.1)
    with answering(LOCAL, echo) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as silent:
            assert silent.recv(1) == b""


def test_only_so_many_clients_are_served_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rele.runtime.health_server._CONNECTIONS", 1)
    with answering(LOCAL, echo) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))):
            with socket.create_connection((host, int(port)), timeout=20) as refused:
                assert refused.recv(1) == b""
        wait_until(lambda: Probes(address).succeeds("/livez", 10), 20)


def test_a_request_that_is_no_http_is_refused_and_harms_nothing(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"400" in client.recv(1000)
    assert ask(address, "/livez")[0] == 200


def test_its_end_takes_no_time_and_frees_the_port() -> None:
    with answering(LOCAL, echo) as address:
        before = time.monotonic()
    assert time.monotonic() - before < 0.5
    host, _, port = address.rpartition(":")
    with answering((host, int(port)), echo):
        pass
    assert "rele-health" not in {thread.name for thread in threading.enumerate()}


def test_a_child_process_does_not_keep_the_port() -> None:
    parent, end = socket.socketpair()
    with answering(LOCAL, echo) as address:
        child = os.fork()
        if child == 0:  # it outlives the server, with whatever it has inherited
            parent.close()
            end.send(b"here")
            end.recv(1)
            os._exit(0)
        end.close()
        assert parent.recv(10) == b"here"
    host, _, port = address.rpartition(":")
    with parent, answering((host, int(port)), echo):
        pass
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (("192.0.2.1", 8080), r"--health-port 192\.0\.2\.1:8080: this process cannot listen there"),
        (("no-such-host.invalid", 8080), "--health-port no-such-host.invalid:8080: this process"),
    ],
)
def test_an_address_that_is_not_its_own_is_one_clear_error(address: Address, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason), answering(address, echo):
        pass


def test_a_busy_port_is_one_clear_error(address: str) -> None:
    host, _, port = address.rpartition(":")

    with pytest.raises(ConfigurationError) as error, answering((host, int(port)), echo):
        pass

    assert str(error.value) == (
        f"--health-port {address}: another process listens on this port already. Stop that, or "
        "choose another port."
    )


class TestTheCommand:
    def test_is_green(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["health", "--health-port", address, "--live"]) == 0
        assert capsys.readouterr().out == "/livez\n"

    def test_is_red_with_the_reasons(
        self, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["health", "--health-port", address]) == 1
        assert capsys.readouterr().out == "/readyz\n"

    def test_says_that_nobody_answers(self, capsys: pytest.CaptureFixture[str]) -> None:
        with answering(LOCAL, echo) as address:
            pass

        assert cli.main(["health", "--health-port", address]) == 1
        assert re.fullmatch(
            rf"Error: No worker answers at http://{address}: .*refused. Start it with "
            r"--health-port \d+, or name its address with --health-port.\n",
            capsys.readouterr().err,
        )

    def test_says_that_a_worker_does_not_answer(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(LOCAL) as silent:
            host, port = silent.getsockname()

            status = cli.main(["health", "--health-port", f"{host}:{port}", "--timeout", "1"])

        assert status == 1
        assert "does not answer within 1 s: a handler holds the" in capsys.readouterr().err

    def test_says_that_it_is_no_worker(self, capsys: pytest.CaptureFixture[str]) -> None:
        with answering(LOCAL, lambda path: Reply(404, "text/plain", b"")) as address:
            assert cli.main(["health", "--health-port", address]) == 1

        assert "is no worker of Relé: its status is 404 for /readyz." in capsys.readouterr().err

    def test_is_one_of_manage_py_too(self, address: str) -> None:
        command = [sys.executable, "manage.py", "rele", "health", "--health-port", address]

        done = subprocess.run([*command, "--live"], capture_output=True, text=True, check=False)

        assert (done.returncode, done.stdout) == (0, "/livez\n"), done.stderr
