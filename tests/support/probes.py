"""The probes of a running worker, asked as a kubelet asks them."""

from __future__ import annotations

import json
import re
import subprocess
from http.client import HTTPConnection
from typing import Any

from tests.support.polling import wait_until
from tests.support.project import read_until


class Probes:
    """Asks a worker over HTTP.

    Args:
        address: ``HOST:PORT``.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, timeout: float = 10) -> tuple[int, str]:
        """The status and the body."""
        connection = HTTPConnection(self.address, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def succeeds(self, path: str, timeout: float) -> bool:
        """Whether a kubelet would call it a success: an answer in time, from 200 to 399."""
        try:
            return 200 <= self.get(path, timeout)[0] < 400
        except OSError:
            return False

    @property
    def live(self) -> int:
        return self.get("/livez")[0]

    @property
    def ready(self) -> int:
        return self.get("/readyz")[0]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/status")[1])
        return found

    def wait_for(self, path: str, status: int, text: str = "", seconds: float = 30) -> str:
        """The body, once the answer has that status and contains ``text``."""

        def is_there() -> bool:
            found, body = self.get(path)
            return found == status and text in body

        wait_until(is_there, seconds, lambda: self.get(path))
        return self.get(path)[1]


def probes_of(process: subprocess.Popen[str]) -> Probes:
    """The probes of a worker that was started with ``--health-port``, once it answers."""
    said = read_until(process.stdout, "Answering /livez")
    found = re.search(r"on http://(\S+)\.$", said, re.MULTILINE)
    assert found is not None, said
    return Probes(found[1])


def process_id_of(process: str) -> int:
    """The id of a process that a status names ``host:pid/number``."""
    return int(process.rpartition(":")[2].partition("/")[0])
