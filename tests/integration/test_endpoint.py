"""The ways to name an emulator, and proxies in the environment, on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

import rele
from rele import publishing
from rele.config import Config
from rele.emulator import EmbeddedServer, ask_status
from rele.endpoint import can_connect
from rele.exceptions import ConfigurationError
from rele.project.comparison import compare
from rele.subscription import Subscription
from rele.worker import NotConnectionError, Worker, make_worker
from tests.integration.conftest import stop
from tests.support.inbox import Inbox
from tests.support.servers import free_port

VARIABLE = "PUBSUB_EMULATOR_HOST"


class ProxyTrap:
    """An HTTP proxy that refuses everything, and notes what it was asked for."""

    def __init__(self) -> None:
        self.requests = Inbox()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):  # where nobody is connected to it
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    if request := connection.recv(4096):
                        self.requests.put(request.split(b"\r\n")[0].decode())
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyTrap]:
    """A proxy that all the environment's variables name."""
    trap = ProxyTrap()
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, trap.url)
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield trap
    trap.close()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Those that are stopped when the test ends."""
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        stop(worker)


def publish_and_handle(make: Callable[..., Worker], project_id: str, workers: list[Worker]) -> None:
    """Publish a message and see it handled by a worker."""
    inbox = Inbox()
    config = rele.setup({"GC_PROJECT_ID": project_id, "MIDDLEWARE": []})
    worker = make([Subscription(lambda data, **attributes: inbox.put(data), "greetings")], config)
    worker.setup()
    worker.start()
    workers.append(worker)

    rele.publish("greetings", "hello", blocking=True, timeout=20)
    rele.publish("greetings", "ordered", ordering_key="1", blocking=True, timeout=20)

    assert sorted(inbox.wait_for(2)) == ["hello", "ordered"]


def built_by_hand(subscriptions: list[Subscription], config: Config) -> Worker:
    return Worker(subscriptions, None, config.gc_project_id)


MAKERS = pytest.mark.parametrize("make", [make_worker, built_by_hand])


@pytest.mark.both_engines
@MAKERS
@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}/", "http://127.0.0.1:{}/"])
def test_every_form_of_an_emulators_address_leads_there(
    embedded_server: str,
    project_id: str,
    monkeypatch: pytest.MonkeyPatch,
    workers: list[Worker],
    make: Callable[..., Worker],
    form: str,
) -> None:
    monkeypatch.setenv(VARIABLE, form.format(embedded_server.rpartition(":")[2]))

    publish_and_handle(make, project_id, workers)


@pytest.mark.both_engines
@MAKERS
@pytest.mark.parametrize("form", ["[::1]:{}", "http://[::1]:{}/"])
def test_an_emulator_on_ipv6(
    project_id: str,
    monkeypatch: pytest.MonkeyPatch,
    workers: list[Worker],
    make: Callable[..., Worker],
    form: str,
) -> None:
    with EmbeddedServer("::1") as server:
        monkeypatch.setenv(VARIABLE, form.format(server.address.rpartition(":")[2]))

        publish_and_handle(make, project_id, workers)

        stop(workers.pop())
        publishing.forget()


@pytest.mark.both_engines
@pytest.mark.parametrize("named", [":8085", "localhost", "::1", "http://localhost", "https://a:1"])
def test_what_is_no_address_is_one_error_at_once(
    project_id: str, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    config = rele.setup({"GC_PROJECT_ID": project_id, "MIDDLEWARE": []})
    calls: list[Callable[[], Any]] = [
        lambda: make_worker([], config),
        lambda: built_by_hand([], config),
        lambda: rele.publish("greetings", "hello"),
        lambda: compare(config, []),
    ]

    for call in calls:
        with pytest.raises(ConfigurationError) as raised:
            call()
        assert str(raised.value) == (
            f"{VARIABLE} needs HOST:PORT, such as 127.0.0.1:8085, not {named!r}."
        )


@pytest.mark.both_engines
@MAKERS
def test_no_proxy_sees_what_is_for_an_emulator(
    embedded_server: str,
    project_id: str,
    monkeypatch: pytest.MonkeyPatch,
    workers: list[Worker],
    trap: ProxyTrap,
    make: Callable[..., Worker],
) -> None:
    monkeypatch.setenv(VARIABLE, embedded_server)

    publish_and_handle(make, project_id, workers)
    assert ask_status(embedded_server)["topics"]

    assert trap.requests.items == []


def test_a_proxy_that_is_not_there_is_named_at_once(
    project_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("grpc_proxy", raising=False)
    monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{free_port()}")
    monkeypatch.setattr("rele.worker.can_connect", partial(can_connect, timeout=0.1))
    worker = Worker([], {"api_endpoint": "pubsub.invalid"}, project_id, AnonymousCredentials())

    with pytest.raises(NotConnectionError) as raised:
        worker.start()

    assert "the environment's https_proxy leads there through the proxy" in str(raised.value)
    assert "secret" not in str(raised.value)
