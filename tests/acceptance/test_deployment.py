"""``docs/deploy/``: its commands and probes, as they are written, on real processes.

Only the ports are others, since those of this machine may be taken, and the images are not built.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rele.schema.settings import DEFAULTS
from tests.support.containers import (
    Container,
    compose_services,
    dockerfile,
    exec_form,
    kubernetes_pod,
)
from tests.support.polling import wait_until
from tests.support.probes import Probes
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.servers import free_port, wait_for_port

Publish = Callable[[range], None]

NEEDED = DEFAULTS["SHUTDOWN_TIMEOUT"] + DEFAULTS["PUBLISHER_TIMEOUT"] + 4
"""Seconds that a worker may take to stop."""

MANAGE = """
    import os, sys
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
"""

SUBS = """
    import re, time
    from pathlib import Path
    from rele import sub

    @sub(topic="jobs")
    def work(data, **kwargs):
        Path(f"begun-{data}").touch()
        while Path("gate").exists():
            time.sleep(0.01)
        if data == 666:
            re.match("(a+)+$", "a" * 60 + "b")  # never releases the interpreter
"""


IMPATIENT = """
from functools import partial
from rele.project import startup

startup.Fleet = partial(startup.Fleet, silent_after=3.0)
"""
"""A supervisor that waits for seconds where it waits for half a minute."""


@pytest.fixture
def shop(project: Project) -> Project:
    """The Django project that the image has."""
    project.write("manage.py", MANAGE)
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write_settings(MIDDLEWARE=["rele.contrib.DjangoDBMiddleware"])
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(
            "SECRET_KEY = 'a secret'\nINSTALLED_APPS = ['rele', 'shop']\n"
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db'}}\n"
            f"{IMPATIENT}"
        )
    return project


@pytest.fixture
def proxy(shop: Project, embedded_server: str) -> Iterator[Proxy]:
    with Proxy(embedded_server) as proxy:
        shop.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        yield proxy


def test_a_pod_has_time_to_stop_and_its_probes_answer_in_it() -> None:
    pod = kubernetes_pod()
    [container] = pod["containers"]

    assert pod["terminationGracePeriodSeconds"] >= NEEDED
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    [port] = container["ports"]
    assert container["command"][-2:] == ["--health-port", str(port["containerPort"])]


def test_the_probes_of_a_pod_while_it_starts_works_loses_pubsub_stalls_and_drains(
    shop: Project, proxy: Proxy, publish: Publish
) -> None:
    [spec] = kubernetes_pod()["containers"]
    pod = Container(shop, {8080: free_port()})

    def probes(live: bool, ready: bool) -> bool:
        found = pod.probe(spec, "livenessProbe"), pod.probe(spec, "readinessProbe")
        return found == (live, ready)

    def wait_for(live: bool, ready: bool) -> None:
        wait_until(lambda: probes(live, ready), 60, lambda: (live, ready))

    assert not pod.probe(spec, "startupProbe")
    process = pod.start(spec["command"])
    wait_until(lambda: pod.probe(spec, "startupProbe"), 60)
    wait_for(live=True, ready=True)

    proxy.cut()
    wait_for(live=True, ready=False)
    proxy.resume()
    wait_for(live=True, ready=True)

    stalled = pod.process_ids(spec)[1]
    os.kill(stalled, signal.SIGSTOP)
    wait_for(live=False, ready=False)
    os.kill(stalled, signal.SIGCONT)
    wait_for(live=True, ready=True)

    (shop.folder / "gate").touch()
    publish(range(1))
    wait_until((shop.folder / "begun-0").exists, 30)
    assert probes(live=True, ready=True)
    process.send_signal(signal.SIGTERM)
    wait_for(live=True, ready=False)
    (shop.folder / "gate").unlink()
    assert process.wait(30) == 0


def test_the_image_runs_its_command_and_knows_whether_a_restart_helps(
    shop: Project, publish: Publish
) -> None:
    image = dockerfile()
    port = free_port()
    container = Container(shop, {8080: port})
    check = exec_form(image["HEALTHCHECK"])
    probes = Probes(f"127.0.0.1:{port}")

    process = container.start(exec_form(image["CMD"]))
    wait_until(lambda: probes.succeeds("/readyz", 5), 60)
    assert container.run(check) == (0, "live\n")

    publish(range(666, 667))
    wait_until((shop.folder / "begun-666").exists, 30)
    status, said = container.run([*check, "--timeout", "1"])
    assert status == 1
    assert "Restart it." in said
    assert _seconds(re.search(r"--timeout=(\S+)", image["HEALTHCHECK"])[1]) > 5  # type: ignore[index]
    assert image["USER"] != "root"
    process.kill()


def test_the_services_of_compose_start_one_after_the_other_and_stop(shop: Project) -> None:
    services = compose_services()
    ports = {8080: free_port(), 8085: free_port()}
    pubsub, worker = Container(shop, ports), Container(shop, ports)
    assert services["worker"]["depends_on"] == {"pubsub": {"condition": "service_healthy"}}
    assert _seconds(services["worker"]["stop_grace_period"]) >= NEEDED

    server = pubsub.start(services["pubsub"]["command"])
    wait_for_port(ports[8085])
    assert pubsub.run(_test(services["pubsub"]))[0] == 0

    for name, value in services["worker"]["environment"].items():
        # The name of a service is a host there.
        shop.environment[name] = value.replace("pubsub:8085", f"127.0.0.1:{ports[8085]}")
    process = worker.start(services["worker"]["command"])
    wait_until(lambda: Probes(f"127.0.0.1:{ports[8080]}").succeeds("/readyz", 5), 60)
    status, said = worker.run(_test(services["worker"]))
    assert (status, said.splitlines()[0]) == (0, "ready")

    for each in (process, server):
        each.terminate()
        assert each.wait(30) == 0


def _test(service: dict[str, Any]) -> list[str]:
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    return command


def _seconds(text: str) -> int:
    assert text.endswith("s"), text
    return int(text[:-1])
