"""``deadletters``: looking at the dead letters of a subscription, replaying and discarding them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from rele.cli import stop_signals
from rele.cli.letters_shown import (
    as_json,
    group_as_json,
    group_lines,
    letter_lines,
    list_lines,
    printable,
)
from rele.cli.log import add_verbosity, log_to_stderr
from rele.cli.noting import note_action
from rele.cli.output import printing, saying_after_a_second
from rele.cli.parser import MAX_DAYS, number_from, say_wrong_use_plainly
from rele.cli.style import is_terminal, style_of, terminal_width
from rele.cli.subcommand import INTERRUPTED, Options, Subcommand
from rele.cli.subscriptions import NOT_IN_THE_WAY
from rele.exceptions import ReleError
from rele.project.loading import Project
from rele.project.startup import say, say_project

if TYPE_CHECKING:
    from rele.deadletters.box import Collected, Opened
    from rele.deadletters.choice import Choice
    from rele.deadletters.letter import Letter

_LONGEST_WAIT = 600
"""Seconds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "subscription",
        metavar="SUBSCRIPTION",
        help="the subscription whose dead letters are meant, by its id or its full path; or the "
        "subscription of a dead-letter topic",
    )
    parser.set_defaults(ids=(), all=False, here=False, yes=False, **_DEFAULTS)
    _add_options(parser)
    for add in _LISTING:
        add(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, (text, adders) in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        say_wrong_use_plainly(action)
        for add in (*adders, _add_options):
            add(action)
        action.add_argument(
            "--traceback", action="store_true", default=_NONE, help="show the traceback of an error"
        )


def _add_options(parser: argparse.ArgumentParser) -> None:
    """What may be given before and after the action's name, and so has no default."""
    parser.add_argument(
        "--from",
        dest="pulled_from",
        metavar="NAME",
        default=_NONE,
        help="the subscription to pull from, where the dead-letter topic has several",
    )
    parser.add_argument(
        "--wait",
        type=number_from(0.1, float, "number of seconds", _LONGEST_WAIT),
        metavar="SECONDS",
        default=_NONE,
        help="take all letters to be known after so many seconds without another "
        f"(default: {_DEFAULTS['wait']:g})",
    )
    add_verbosity(parser, default=_NONE)


def _add_showing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max",
        dest="most",
        type=number_from(1, int, "whole number"),
        metavar="N",
        default=_NONE,
        help=f"look at N letters, at most (default: {_DEFAULTS['most']})",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default=_NONE,
        help="table, for people (the default), or json",
    )


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="the message ids of the letters meant")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--error", default=_NONE, metavar="TEXT", help="only those with TEXT in their error"
    )
    parser.add_argument(
        "--handler",
        default=_NONE,
        metavar="TEXT",
        help="only those with TEXT in the dotted path of their handler",
    )
    parser.add_argument(
        "--older-than",
        type=number_from(0, float, "number of days", MAX_DAYS),
        metavar="DAYS",
        default=_NONE,
        help="only those that were dead-lettered more than DAYS days ago",
    )


def _add_group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group", action="store_true", default=_NONE, help="count them by error and handler"
    )


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", default=_NONE, help="all of them")
    parser.add_argument("--yes", action="store_true", default=_NONE, help="do it without asking")


def _add_here(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--here",
        action="store_true",
        default=_NONE,
        help="call the handler in this process, instead of publishing",
    )


_NONE = argparse.SUPPRESS

_DEFAULTS: dict[str, Any] = {
    "error": "",
    "handler": "",
    "older_than": None,
    "group": False,
    "pulled_from": None,
    "most": 10_000,
    "wait": 3.0,
    "format": "table",
}

_LISTING = (_add_filters, _add_group, _add_showing)

_ACTIONS = {
    "list": ("List them, with attempts, age and error.", _LISTING),
    "show": ("Show all of one, with its data.", (_add_ids, _add_showing)),
    "replay": (
        "Publish them to the topic that they were published to first.",
        (_add_ids, _add_filters, _add_consent, _add_here),
    ),
    "discard": (
        "Acknowledge them, so that they are lost.",
        (_add_ids, _add_filters, _add_consent),
    ),
}
"""What can be done, and what adds the options of it; without one of them, they are listed."""


def run(options: Options) -> int:
    from rele.deadletters.choice import Choice

    older_than = options["older_than"]
    choice = Choice(
        frozenset(options["ids"]),
        options["error"],
        options["handler"],
        None if older_than is None else timedelta(days=older_than),
    )
    _check(options, choice)
    project: Project = options["load_project"]()
    command = _Command(project, options, choice)
    try:
        with stop_signals.raised():
            return command.run()
    except KeyboardInterrupt:
        say("Interrupted: what was not acknowledged is still a dead letter.")
        return INTERRUPTED


def _check(options: Options, choice: Choice) -> None:
    action = options["action"]
    if action == "show" and not choice.ids:
        raise ReleError("Which letter? Name it by its ID, as the list has it.")
    if action in ("replay", "discard") and choice.is_everything and not options["all"]:
        raise ReleError(
            f"Which letters? Name them by ID, choose them by --error, --handler or --older-than, "
            f"or {action} --all."
        )
    if options["all"] and not choice.is_everything:
        raise ReleError("--all is for all letters: give it without IDs and without a filter.")


@dataclass(frozen=True)
class _Command:
    project: Project
    options: Options
    choice: Choice

    def run(self) -> int:
        from rele.deadletters.box import opened  # here, since it loads Google's client

        config = self.project.require_config(ignoring=NOT_IN_THE_WAY)
        action = self.options["action"]
        say_project(config)
        with opened(
            config,
            self.options["subscription"],
            pulled_from=self.options["pulled_from"],
            quiet=self.options["wait"],
            say=say,
        ) as found:
            if action in ("replay", "discard"):
                return self._act(found)
            keeps_data = action == "show"
            collected = self._collect(found, most=self.options["most"], keeps_data=keeps_data)
        return self._show(collected)  # now that nobody waits for the letters any more

    def _collect(self, found: Opened, **how: Any) -> Collected:
        with saying_after_a_second(
            f"Reading the dead letters in {found.box.place.subscription} ..."
        ):
            return found.box.collect(self.choice, **how)

    def _show(self, collected: Collected) -> int:
        letters = collected.letters
        missing = self.choice.ids - {letter.message_id for letter in letters}
        with printing() as show:
            if self.options["format"] == "json":
                show(json.dumps(self._json_of(letters), indent=2))
            elif letters or not missing:
                for line in self._lines_of(collected):
                    show(line)
        if collected.has_more:
            say(f"There may be more than these {len(letters):,}: --max looks at more.")
        elif letters and self.options["action"] != "show":
            say(f"{len(letters):,} dead letter{'' if len(letters) == 1 else 's'}.")
        for each in sorted(missing):
            say(f"Error: {_missing(each)}")
        return 1 if missing else 0

    def _json_of(self, letters: Sequence[Letter]) -> list[dict[str, Any]]:
        from rele.deadletters.letter import grouped

        if self.options["group"]:
            return [group_as_json(each) for each in grouped(letters)]
        return [as_json(each, with_data=self.options["action"] == "show") for each in letters]

    def _lines_of(self, collected: Collected) -> Sequence[str]:
        from rele.deadletters.letter import grouped

        letters = collected.letters
        if not letters:
            return [_nothing(self.choice, collected)]
        now, style = datetime.now(timezone.utc), style_of(sys.stdout)
        if self.options["action"] == "show":
            width = terminal_width()
            return [line for each in letters for line in letter_lines(each, now, style, width)]
        width_of_table = terminal_width() if is_terminal(sys.stdout) else None
        if self.options["group"]:
            return group_lines(grouped(letters), now, style, width_of_table)
        return list_lines(letters, now, style, width_of_table)

    def _act(self, found: Opened) -> int:
        from rele.cli import letter_actions

        collected = self._collect(found)
        letters = collected.letters
        if missing := self.choice.ids - {letter.message_id for letter in letters}:
            raise ReleError(" ".join(map(_missing, sorted(missing))))
        if not letters:
            say(_nothing(self.choice, collected))
            return 0
        if self.options["here"]:
            log_to_stderr(self.options.get("verbosity"))
            action = letter_actions.handling_here(found, self.project)
        elif self.options["action"] == "replay":
            action = letter_actions.replaying(found, letters)
        else:
            action = letter_actions.discarding(found)
        place = found.box.place
        whose = place.source or place.subscription or self.options["subscription"]
        return letter_actions.carry_out(
            found,
            collected,
            self.choice,
            action,
            name=self.options["subscription"],
            yes=self.options["yes"],
            note=partial(note_action, self.project.require_config(ignoring=NOT_IN_THE_WAY), whose),
        )


def _missing(message_id: str) -> str:
    return f"There is no dead letter {printable(message_id)!r} here, or another process has it."


def _nothing(choice: Choice, collected: Collected) -> str:
    text = f"There are no {'' if choice.is_everything else 'such '}dead letters."
    if (choice.error or choice.handler) and (number := collected.without_error):
        text += (
            f" {number:,} more have no known error or handler, since Pub/Sub has moved them: "
            "choose them by ID, or all."
        )
    return text


DEADLETTERS = Subcommand(
    "deadletters",
    "List, show, replay or discard the dead letters of a subscription.",
    add_arguments,
    run,
)
