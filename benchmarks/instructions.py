"""How many instructions a message costs: a figure that other work does not disturb.

``python -m benchmarks.instructions [publishing|consuming] [--pieces] [--record] [--checkout PATH]``
counts them by valgrind's callgrind, for Relé's engine and what calls it or what it calls, without
threads and connections; by default both. It fails if they are more than 3 % above the figure in
``RESULTS.md`` for the same Python, so that a change that costs something is noticed, and is
recorded (``--record``) only where it is wanted. ``--pieces`` also shows where they go. The default
of ``--checkout`` is this one.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.results import record, recorded

HERE = Path(__file__).parent
TOLERANCE = 0.03
TIMEOUT = 600

NO_VALGRIND = (
    "valgrind is not installed, so the instructions of a message are not counted (on Debian and "
    "Ubuntu: apt-get install valgrind)."
)
TOO_MANY = (
    f"At most {TOLERANCE:+.0%} is allowed: find what the last changes added with `python -m "
    "benchmarks.instructions {kind} --pieces`, or, if it is worth it, record the new figure with "
    "`--record`."
)
HEADING = "| Python | instructions a message |\n| --- | --- |"


def this_python() -> str:
    """What the figure depends on, beside Relé."""
    return (
        f"{platform.python_implementation()} {platform.python_version()} "
        f"({platform.python_compiler()}), {platform.machine()}, protobuf {version('protobuf')}"
    )


PARTICIPLES = {"publishing": "published", "consuming": "consumed"}


def count(checkout: Path, kind: str, *arguments: str) -> dict[str, int]:
    """The instructions a message of each part that the child counts."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(checkout),
        }
        valgrind = ["valgrind", "--tool=callgrind", "--dump-before=getloadavg"]
        child = [sys.executable, str(HERE / f"instructions_{kind}.py"), *arguments]
        completed = subprocess.run(
            [*valgrind, f"--callgrind-out-file={folder}/counts", *child],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        if completed.returncode:
            raise RuntimeError(f"What is counted has failed:\n{completed.stderr}")
        counts = {}
        for number, line in enumerate(completed.stdout.splitlines()):
            name, messages = line.split("\t")
            # A part lies between two dumps: those with odd numbers hold what was before a part.
            counts[name] = _total(Path(folder, f"counts.{2 * number + 2}")) // int(messages)
        return counts


def _total(dump: Path) -> int:
    found = re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no total into {dump.name}.")
    return int(found[1])


def place(kind: str) -> str:
    """The name of the figures' place in ``RESULTS.md``."""
    return "instructions" if kind == "publishing" else f"instructions of {kind}"


def recorded_figures(kind: str) -> dict[str, int]:
    """For each Python the figure in ``RESULTS.md``."""
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \|$", recorded(place(kind)), re.MULTILINE)
    return {python: int(number.replace(",", "")) for python, number in rows}


def verdict(kind: str, counted: int, figures: dict[str, int], python: str) -> tuple[str, bool]:
    """What to say of a count, and whether it is good enough."""
    said = f"A {PARTICIPLES[kind]} message costs {counted:,} instructions with {python}"
    figure = figures.get(python)
    if figure is None:
        known = ", ".join(figures) or "none"
        return f"{said}. Not compared: RESULTS.md has no figure for it, but for {known}.", True
    change = counted / figure - 1
    said = f"{said}: {change:+.1%} beside the {figure:,} in RESULTS.md."
    if counted > figure * (1 + TOLERANCE):
        return f"{said} {TOO_MANY.format(kind=kind)}", False
    if counted < figure * (1 - TOLERANCE):
        return f"{said} Record it with `--record`, so that it stays so.", True
    return said, True


def compare(checkout: Path, kind: str, *, shows_pieces: bool, is_recorded: bool) -> bool:
    """Count, print and compare; return whether a message costs no more than it may."""
    parts = count(checkout, kind, *(["--pieces"] if shows_pieces else []))
    counted = next(iter(parts.values()))
    if shows_pieces:
        print("| part | instructions | share |\n| --- | --- | --- |")
        for name, number in parts.items():
            print(f"| {name} | {number:,} | {number / counted:.0%} |")
    figures, python = recorded_figures(kind), this_python()
    if is_recorded:
        figures[python] = counted
        rows = [f"| {each} | {number:,} |" for each, number in sorted(figures.items())]
        record(place(kind), "\n".join([HEADING, *rows]))
    text, is_good = verdict(kind, counted, figures, python)
    print(text, file=sys.stdout if is_good else sys.stderr)
    return is_good


def main(options: argparse.Namespace) -> int:
    """Compare what is asked for; return 1 if a message costs too much."""
    if shutil.which("valgrind") is None:
        print(NO_VALGRIND)
        return 0
    kinds = [options.kind] if options.kind else list(PARTICIPLES)
    results = [
        compare(options.checkout, kind, shows_pieces=options.pieces, is_recorded=options.record)
        for kind in kinds
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How many instructions a message costs.")
    parser.add_argument("kind", nargs="?", choices=PARTICIPLES)
    parser.add_argument("--checkout", type=Path, default=HERE.parent, help="of Relé")
    parser.add_argument("--pieces", action="store_true", help="show where they go")
    parser.add_argument("--record", action="store_true", help="write the figure into RESULTS.md")
    sys.exit(main(parser.parse_args()))
