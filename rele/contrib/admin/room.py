"""What the page adds to Relé."""

from __future__ import annotations

from rele.cli.subcommand import Subcommand
from rele.project.extensions import Room, later

APP = "rele.contrib.admin"

ROOM = Room(
    name=APP,
    app=APP,
    commands=(
        Subcommand(
            "pause",
            "Pause subscriptions on all workers of the project, until they are resumed.",
            later(f"{APP}.commands:add_pause_arguments"),
            later(f"{APP}.commands:pause"),
        ),
        Subcommand(
            "resume",
            "Let all workers of the project consume paused subscriptions again.",
            later(f"{APP}.commands:add_resume_arguments"),
            later(f"{APP}.commands:resume"),
        ),
        Subcommand(
            "threads",
            "Set how many messages of a subscription each worker process handles at a time.",
            later(f"{APP}.commands:add_threads_arguments"),
            later(f"{APP}.commands:set_threads"),
        ),
    ),
    controls=later(f"{APP}.controls:reader"),
    note_action=later(f"{APP}.controls:note_action"),
    in_each_worker=later(f"{APP}.reporting:reporting"),
)
