"""The newcomer's path, timed: from an empty folder to a handled message.

Installs the built wheel into a new virtual environment and does what the README says, to the
letter, with nothing more. Run it with ``python -m tests.support.newcomer``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.readme import FIRST_STEPS, REPOSITORY, commands, files

HANDLED = "Shipping order 42 to ES"


def main() -> int:
    """Take the path in a temporary folder; print how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = _build_wheel(Path(folder, "wheel"))
        environment = _empty_environment(Path(folder, "venv"))
        shop = Path(folder, "shop")
        shop.mkdir()
        started = time.monotonic()
        _run(f"python -m pip install --quiet '{wheel}[django]'", shop, environment)
        installed = time.monotonic()
        _follow_the_readme(shop, environment)
        ended = time.monotonic()
    print(
        f"A handled message after {ended - started:.1f} s, "
        f"{installed - started:.1f} s of which pip took."
    )
    return 0


def _build_wheel(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, REPOSITORY],
        check=True,
    )
    [wheel] = folder.glob("rele-*.whl")
    return wheel


def _empty_environment(venv: Path) -> dict[str, str]:
    """The environment of somebody who has made a virtual environment and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = dict(os.environ)
    for name in ("DJANGO_SETTINGS_MODULE", "PUBSUB_EMULATOR_HOST", "PYTHONPATH"):
        environment.pop(name, None)
    return {**environment, "PATH": os.pathsep.join([str(venv / "bin"), environment["PATH"]])}


def _follow_the_readme(shop: Path, environment: dict[str, str]) -> None:
    *make, emulator, worker, publish = commands(FIRST_STEPS)
    for command in make:
        _run(command, shop, environment)
    for name, code in files(FIRST_STEPS):
        with (shop / name).open("a", encoding="utf-8") as file:
            file.write(code)
    with ExitStack() as terminals:
        _open_terminal(emulator, shop, environment, terminals, until="Pub/Sub is listening")
        output = _open_terminal(worker, shop, environment, terminals, until="Pulling messages")
        _run(publish, shop, environment)
        _read_until(output, HANDLED)


def _run(command: str, folder: Path, environment: dict[str, str]) -> None:
    subprocess.run(command, shell=True, check=True, cwd=folder, env=environment)


def _open_terminal(
    command: str, folder: Path, environment: dict[str, str], terminals: ExitStack, until: str
) -> subprocess.Popen[str]:
    """Start a command that runs until the end; return when its output has ``until``."""
    process = subprocess.Popen(
        ["sh", "-c", f"exec env {command}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    terminals.enter_context(process)
    terminals.callback(process.terminate)
    _read_until(process, until)
    return process


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    if not any(text in line for line in process.stdout):
        raise RuntimeError(f"{process.args} ended without {text!r}.")


if __name__ == "__main__":
    sys.exit(main())
