"""Who uses a command, and keeping what was done about a subscription."""

from __future__ import annotations

import getpass
import socket

from rele.cli.output import saying_after_a_second
from rele.config import Config
from rele.project.extensions import rooms_in_use
from rele.project.startup import say


def operator() -> str:
    """The user of the operating system who runs this command, and the machine."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's user may have no name
        user = "command line"
    return f"{user}@{socket.gethostname()}"


def note_action(config: Config, path: str, what: str) -> None:
    """Let rooms keep what this command has done about a subscription. It is done in any case.

    Args:
        config: the project's configuration.
        path: of the subscription.
        what: a sentence.
    """
    name = path.rpartition("/")[2]
    for room in rooms_in_use():
        if room.note_action is None:
            continue
        try:
            with saying_after_a_second(f"Waiting for {room.name} to note it ..."):
                room.note_action(config, name, operator(), what)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was done is done
            say(f"It is done, but {room.name} could not note it: {error}")
