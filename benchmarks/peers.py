"""An environment with the released packages that Relé is compared with, and nothing of Relé."""

from __future__ import annotations

import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".venv-peers"

PEERS = ("rele == 1.17.2", "repid[pubsub] == 2.1.4")
"""Run as they are."""

AS_HERE = ("google-cloud-pubsub", "grpcio", "protobuf")
"""Of the same version there as here, so that only the peer differs."""


def python() -> str:
    """The environment's interpreter; the environment is made where it is missing or another."""
    interpreter = FOLDER / "bin" / "python"
    packages = [*PEERS, *(f"{name} == {version(name)}" for name in AS_HERE)]
    installed = FOLDER / "installed.txt"
    if not installed.exists() or installed.read_text().splitlines() != packages:
        venv.create(FOLDER, with_pip=True, clear=True)
        command = [str(interpreter), "-m", "pip", "install", "-qq", *packages]
        subprocess.run(command, check=True)
        installed.write_text("\n".join(packages))
    return str(interpreter)
