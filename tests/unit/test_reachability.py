from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from google.api_core.client_options import ClientOptions

from rele.exceptions import ConfigurationError
from rele.reachability import can_connect, pubsub_address
from tests.support.servers import free_port

NO_TIME = 0.05


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", "grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listening() -> Iterator[str]:
    """The address of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("options", "address"),
    [
        (None, "pubsub.googleapis.com:443"),
        ({}, "pubsub.googleapis.com:443"),
        ({"api_endpoint": "europe-west1-pubsub.googleapis.com"}, "europe-west1-pubsub."),
        ({"api_endpoint": "europe-west1-pubsub.googleapis.com:443"}, "europe-west1-pubsub."),
        ({"api_endpoint": "localhost:8085"}, "localhost:8085"),
        ({"api_endpoint": "https://pubsub.example:9000"}, "pubsub.example:9000"),
        ({"api_endpoint": "https://pubsub.example"}, "pubsub.example:443"),
        ({"api_endpoint": "dns:///pubsub.example:9000"}, "pubsub.example:9000"),
        ({"api_endpoint": "[::1]:8085"}, "[::1]:8085"),
        ({"universe_domain": "example.com"}, "pubsub.example.com:443"),
        (ClientOptions(api_endpoint="localhost:8085"), "localhost:8085"),
        (ClientOptions(universe_domain="example.com"), "pubsub.example.com:443"),
    ],
)
def test_the_address_is_what_googles_client_dials(options: object, address: str) -> None:
    if address.endswith("."):
        address += "googleapis.com:443"

    assert pubsub_address(options) == address  # type: ignore[arg-type]


def test_the_emulator_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")

    assert pubsub_address({"api_endpoint": "pubsub.example"}) == "localhost:8085"


def test_somebody_who_listens_can_be_reached(listening: str) -> None:
    assert can_connect(listening, timeout=10)


def test_nobody_cannot_be_reached() -> None:
    assert not can_connect(f"127.0.0.1:{free_port()}", timeout=NO_TIME)


def test_a_host_without_an_address_cannot_be_reached() -> None:
    assert not can_connect("nowhere.invalid:443", timeout=NO_TIME)


def test_a_server_that_starts_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with ExitStack() as servers:

        def start_during_the_pause(seconds: float) -> None:
            servers.enter_context(socket.create_server(("127.0.0.1", port)))

        monkeypatch.setattr(time, "sleep", start_during_the_pause)

        assert can_connect(f"127.0.0.1:{port}", timeout=10)


@pytest.mark.parametrize("address", ["pubsub.example:abc", "::1", "localhost:99999"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        pubsub_address({"api_endpoint": address})

    assert f"{address!r}, is neither HOST nor HOST:PORT" in str(raised.value)


def test_a_host_that_cannot_be_looked_up_cannot_be_reached() -> None:
    assert not can_connect(pubsub_address({"api_endpoint": "a..b"}), timeout=NO_TIME)


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_behind_a_proxy_only_this_machine_is_dialled(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    port = free_port()

    assert can_connect("nowhere.invalid:443", timeout=NO_TIME)
    assert not can_connect(f"127.0.0.1:{port}", timeout=NO_TIME)
    assert not can_connect(f"localhost:{port}", timeout=NO_TIME)
