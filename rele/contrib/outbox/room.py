"""What the outbox adds to Relé."""

from __future__ import annotations

import argparse

from rele.cli.subcommand import Subcommand
from rele.project.extensions import Room, later
from rele.schema.kinds import Kind, is_dict
from rele.schema.settings import Setting

APP = "rele.contrib.outbox"

BACKENDS = frozenset({f"{APP}.OutboxBackend", f"{APP}.backend.OutboxBackend"})


def _add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--relay",
        action="store_true",
        help="also send the messages that wait in the outbox, as `manage.py rele relay` does",
    )
    add_batch_arguments = later(f"{APP}.commands:add_batch_arguments")
    add_batch_arguments(parser, "with --relay: ")


ROOM = Room(
    name=APP,
    app=APP,
    settings={
        "OUTBOX": Setting(
            Kind(f"a dict of settings of {APP}", is_dict, example="{'KEEP_SENT': True}"),
            f"settings of ``{APP}`` (see ``docs/transactions.rst``)",
            {},
        )
    },
    problems=later(f"{APP}.checks:problems_of_outbox"),
    backends=BACKENDS,
    commands=(
        Subcommand(
            "relay",
            "Send the messages that wait in the outbox.",
            later(f"{APP}.commands:add_relay_arguments"),
            later(f"{APP}.commands:relay"),
        ),
        Subcommand(
            "outbox",
            "Show how many messages the outbox has, retry the parked ones, or delete old ones.",
            later(f"{APP}.commands:add_outbox_arguments"),
            later(f"{APP}.commands:show_or_change"),
        ),
    ),
    add_worker_arguments=_add_worker_arguments,
    beside_worker=later(f"{APP}.relaying.beside_worker:beside_worker"),
)
