"""``manage.py rele relay`` and ``manage.py rele outbox``."""

from __future__ import annotations

import argparse
import signal
import threading

from rele import publishing
from rele.cli.subcommand import Options, Subcommand
from rele.contrib.outbox.relay import BATCH_SIZE, make_relay


def _add_relay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--once", action="store_true", help="send what is due now, and end, as a cron job would"
    )
    parser.add_argument(
        "--batch-size",
        type=_count,
        default=BATCH_SIZE,
        metavar="N",
        help=f"how many messages it takes in hand at a time, from 1; by default {BATCH_SIZE}",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_count.__name__ = "whole number from 1"  # argparse says so in its error


def _relay(options: Options) -> int:
    relay = make_relay(publishing.configure(), options["batch_size"])
    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: relay.stop())
    if options["once"]:
        print(f"{relay.run_once()} message(s) sent.")
        return 0
    print("Relaying the outbox. Press Ctrl-C to stop.", flush=True)
    relay.run()
    return 0


RELAY = Subcommand("relay", "Send what waits in the outbox.", _add_relay_arguments, _relay)

COMMANDS = (RELAY,)
