"""What the inbox adds to Relé."""

from __future__ import annotations

from rele.cli.subcommand import Subcommand
from rele.project.extensions import Room, later

APP = "rele.contrib.inbox"

ROOM = Room(
    name=APP,
    app=APP,
    problems=later(f"{APP}.checks:problems_of_inbox"),
    commands=(
        Subcommand(
            "inbox",
            "Show how many handled messages the inbox has recorded, or delete old records.",
            later(f"{APP}.commands:add_arguments"),
            later(f"{APP}.commands:show_or_purge"),
        ),
    ),
)
