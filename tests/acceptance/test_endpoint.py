"""Where Pub/Sub is, as the environment of a real process says it."""

from __future__ import annotations

import signal

import pytest

from rele.emulator import ask_status
from tests.support.project import Project, publish_jobs, read_until
from tests.support.servers import free_port
from tests.support.watched import Watched, start_watched, write_project

VARIABLE = "PUBSUB_EMULATOR_HOST"


@pytest.fixture
def closed_proxy(project: Project) -> str:
    """A proxy that nobody is behind, which the environment of the project names."""
    url = f"http://127.0.0.1:{free_port()}"
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        project.environment[name] = url
    for name in ("no_grpc_proxy", "no_proxy"):
        project.environment.pop(name, None)
    return url


@pytest.mark.parametrize("form", ["http://{}", "http://{}/", "{}/"])
def test_every_form_of_an_address_works_beside_a_proxy_for_every_command(
    project: Project, closed_proxy: str, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    address = project.environment[VARIABLE]
    project.environment[VARIABLE] = form.format(address)
    monkeypatch.setenv(VARIABLE, address)
    write_project(project)
    worker = start_watched(project)

    assert project.run("-m", "rele", "publish", "jobs", "1")[0] == 0
    publish_jobs(project, [2])

    worker.wait_for_jobs(range(1, 3))
    status, output = project.run("-m", "rele", "emulator", "--status")
    assert status == 0, output
    assert project.project_id in output
    worker.stop()


@pytest.mark.parametrize("named", [":8085", "localhost"])
@pytest.mark.parametrize(
    "arguments",
    [("run",), ("publish", "jobs", "1"), ("emulator", "--status")],
    ids=lambda arguments: arguments[0],
)
def test_what_is_no_address_is_one_error(
    project: Project, named: str, arguments: tuple[str, ...]
) -> None:
    write_project(project)
    project.environment[VARIABLE] = named

    status, output = project.run("-m", "rele", *arguments)

    assert status == 1
    assert output.endswith(
        f"Error: {VARIABLE} needs HOST:PORT, such as 127.0.0.1:8085, not {named!r}.\n"
    )
    assert "Traceback" not in output


def test_a_proxy_before_the_service_is_named(project: Project, closed_proxy: str) -> None:
    del project.environment[VARIABLE]
    write_project(project, CLIENT_OPTIONS={"api_endpoint": "pubsub.invalid"})
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(
            "from google.auth.credentials import AnonymousCredentials\n"
            "from functools import partial\n"
            "import rele.config, rele.endpoint, rele.worker\n"
            "rele.config.Config.credentials = AnonymousCredentials()\n"
            "check = partial(rele.endpoint.can_connect, timeout=1)\n"
            "rele.worker.check_internet_connection = check\n"
        )

    status, output = project.run("-m", "rele", "run")

    assert status == 1
    assert (
        "Error: Pub/Sub cannot be reached at pubsub.invalid:443 within 10 s: the environment's "
        f"grpc_proxy leads there through the proxy {closed_proxy}. Check the proxy"
    ) in output


@pytest.mark.parametrize(("listens_on", "reached_at"), [("[::1]", "[::1]"), ("[::]", "[::1]")])
def test_an_emulator_listens_on_ipv6(project: Project, listens_on: str, reached_at: str) -> None:
    server = project.start("-m", "rele", "emulator", "--host-port", f"{listens_on}:0")

    named = read_until(server.stdout, f"export {VARIABLE}=").splitlines()[-1].rpartition("=")[2]

    assert named.rpartition(":")[0] == reached_at
    assert ask_status(named)["topics"] == []
    project.environment[VARIABLE] = named
    write_project(project)
    worker = Watched(project.start("-m", "rele", "run"))
    worker.wait_for("Pulling messages")
    worker.stop()
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=20) == 0
