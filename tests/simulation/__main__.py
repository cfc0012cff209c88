"""Play the scenario of a seed, and show what happens."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.trace import lines_of
from tests.simulation.world import KINDS_OF_HANDLERS, play_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, help="what the scenario is made of")
    parser.add_argument(
        "--handlers", choices=KINDS_OF_HANDLERS, default="threads", help="what handles messages"
    )
    parser.add_argument("--message", type=int, help="show this message alone, and the faults")
    parser.add_argument("--worker", help="show this worker alone, and the faults")
    arguments = parser.parse_args()
    result = play_seed(arguments.seed, arguments.handlers)
    for line in lines_of(result, message=arguments.message, worker=arguments.worker):
        print(line)
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
