"""The containers that ``docs/deploy/`` describes, without a container engine: their processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.probes import Probes, process_id_of
from tests.support.project import REPOSITORY, Project

DEPLOY = REPOSITORY / "docs" / "deploy"


def kubernetes_pod() -> dict[str, Any]:
    """The pod template of the manifest."""
    [deployment] = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def compose_services() -> dict[str, dict[str, Any]]:
    """The services of the compose file, by name."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    services: dict[str, dict[str, Any]] = compose["services"]
    return services


def dockerfile() -> dict[str, str]:
    """What each instruction of the Dockerfile says, the last one of its kind."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line)  # type: ignore[misc]


def exec_form(instruction: str) -> list[str]:
    """The command of a CMD or HEALTHCHECK, which has to be a list."""
    command: list[str] = json.loads(instruction[instruction.index("[") :])
    return command


class Container:
    """Runs the commands of one container in a project's folder, on ports of this machine.

    Args:
        project: in whose folder it runs.
        ports: the port to use for each one that its description names.
    """

    def __init__(self, project: Project, ports: Mapping[int, int]) -> None:
        self._project = project
        self._ports = ports
        folder = Path(sys.executable).parent
        project.environment["PATH"] = os.pathsep.join([str(folder), os.environ["PATH"]])

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start its first process."""
        return self._project.start("-c", f"exec {self._here(command)}", python="sh")

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command beside it, such as a HEALTHCHECK: the exit status and the output."""
        return self._project.run("-c", f"exec {self._here(command)}", python="sh")

    def probe(self, container: Mapping[str, Any], name: str) -> bool:
        """Whether a probe of a Kubernetes container succeeds now, as a kubelet sees it."""
        probe = container[name]
        probes = self._probes(container, probe["httpGet"]["port"])
        return probes.succeeds(probe["httpGet"]["path"], probe["timeoutSeconds"])

    def process_ids(self, container: Mapping[str, Any]) -> list[int]:
        """Those of the processes that consume in a Kubernetes container."""
        [port] = container["ports"]
        status = self._probes(container, port["name"]).status()
        return [process_id_of(each["process"]) for each in status["processes"]]

    def _probes(self, container: Mapping[str, Any], name: str) -> Probes:
        [port] = [each["containerPort"] for each in container["ports"] if each["name"] == name]
        return Probes(f"127.0.0.1:{self._ports[port]}")

    def _here(self, command: Sequence[str]) -> str:
        text = shlex.join(command)
        for port, here in self._ports.items():
            text = re.sub(rf"\b{port}\b", str(here), text)
        return text
