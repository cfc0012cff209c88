from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from google.api_core.client_options import ClientOptions

from rele.endpoint import (
    can_connect,
    emulator_address,
    host_and_port,
    proxy_before,
    pubsub_address,
    uses_emulator,
    what_to_check,
)
from rele.exceptions import ConfigurationError
from tests.support.servers import free_port

NO_TIME = 0.05

PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", *PROXY_VARIABLES):
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


@pytest.mark.parametrize("address", ["pubsub.example:abc", "::1", "localhost:99999", "[::1"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        pubsub_address({"api_endpoint": address})

    assert f"{address!r}, is neither HOST nor HOST:PORT" in str(raised.value)


def test_a_host_that_cannot_be_looked_up_cannot_be_reached() -> None:
    assert not can_connect(pubsub_address({"api_endpoint": "a..b"}), timeout=NO_TIME)


def test_the_variable_counts_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert emulator_address() is None
    assert not uses_emulator()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")
    assert emulator_address() is None
    assert not uses_emulator()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")
    assert emulator_address() == "localhost:8085"
    assert uses_emulator()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:8085", "localhost", 8085),
        (" localhost:8085 ", "localhost", 8085),
        ("http://localhost:8085", "localhost", 8085),
        ("http://pubsub_1:8085/", "pubsub_1", 8085),
        ("dns:///localhost:8085", "localhost", 8085),
        ("[::1]:0", "::1", 0),
        ("http://[::]:8085/", "::", 8085),
    ],
)
def test_the_forms_of_an_address(text: str, host: str, port: int) -> None:
    assert host_and_port(text, "--host-port") == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":8085", "localhost", "localhost:", "::1", "::1:8085", "localhost:eight"),
        *("https://localhost:8085", "http://localhost", "localhost:8085/v1", "me@localhost:8085"),
    ],
)
def test_what_is_no_address_is_named_with_its_source(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        host_and_port(text, "--host-port")

    assert str(raised.value) == (
        f"--host-port needs HOST:PORT, such as 127.0.0.1:8085, not {text!r}."
    )


def test_a_port_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'a:65536': a port is a number from 0 to 65535"):
        host_and_port("a:65536", "--host-port")


class TestProxies:
    SERVICE = "pubsub.googleapis.com:443"
    URL = "http://proxy.example:3128"

    @pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
    def test_each_variable_of_grpc_counts(
        self, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, self.URL)

        assert proxy_before(self.SERVICE) == (variable, self.URL)
        assert f"the environment's {variable} leads there" in what_to_check(self.SERVICE)

    def test_the_first_of_them_decides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", self.URL)
        monkeypatch.setenv("grpc_proxy", "socks5://proxy.example")  # which gRPC ignores

        assert proxy_before(self.SERVICE) is None

    @pytest.mark.parametrize(
        "address", ["localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "a.localhost:1"]
    )
    def test_none_is_before_this_machine(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", self.URL)

        assert proxy_before(address) is None

    def test_none_is_before_an_emulator_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", self.URL)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "pubsub:8085")

        assert proxy_before("pubsub:8085") is None
        assert "PUBSUB_EMULATOR_HOST names that address" in what_to_check("pubsub:8085")

    @pytest.mark.parametrize("variable", ["no_grpc_proxy", "no_proxy"])
    def test_none_is_before_a_host_that_is_to_have_none(
        self, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("https_proxy", self.URL)
        monkeypatch.setenv(variable, "example.com, .googleapis.com")

        assert proxy_before(self.SERVICE) is None
        assert proxy_before("pubsub.example.org:443") is not None

    def test_a_proxy_that_listens_can_be_reached(
        self, listening: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("https_proxy", f"http://me:secret@{listening}")

        assert can_connect("nowhere.invalid:443", timeout=10)
        assert not can_connect(f"127.0.0.1:{free_port()}", timeout=NO_TIME)

    def test_a_proxy_that_is_not_there_cannot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")

        assert not can_connect("nowhere.invalid:443", timeout=NO_TIME)

    def test_no_password_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")

        assert "the proxy http://proxy.example:3128." in what_to_check(self.SERVICE)
