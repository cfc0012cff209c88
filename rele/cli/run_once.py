"""``run-once``: handling what waits in one subscription, for cron and Cloud Run jobs."""

from __future__ import annotations

import argparse
import signal
from typing import TYPE_CHECKING

from rele import config as configuration
from rele.cli.log import add_log_format, add_verbosity, log_to_stderr, say_json
from rele.cli.output import tolerant_output
from rele.cli.parser import number_from
from rele.cli.subcommand import Options, Subcommand
from rele.config import Config
from rele.consuming.ending_rule import EndingRule
from rele.consuming.remote_control import RemoteControl
from rele.consuming.running_once import RunOnce
from rele.exceptions import ConfigurationError, ReleError
from rele.project.extensions import in_each_worker, readers_of_controls
from rele.project.loading import Project
from rele.project.naming import subscription_path
from rele.project.startup import say, say_project
from rele.schema.problems import did_you_mean

if TYPE_CHECKING:
    from rele.worker import Worker

_QUIET_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subscription", metavar="NAME", help="the subscription's id")
    parser.add_argument(
        "--max",
        dest="most",
        type=number_from(1, int, "whole number"),
        metavar="N",
        help="end after N messages; handlers that run then may finish",
    )
    parser.add_argument(
        "--wait",
        type=number_from(0.1, float, "number of seconds", 3600),
        default=_QUIET_SECONDS,
        metavar="SECONDS",
        help="take nothing to wait any more after so many seconds without a message "
        "(default: %(default)g)",
    )
    add_verbosity(parser)
    add_log_format(parser)


def run(options: Options) -> int:
    with tolerant_output():
        return _run(options)


def _run(options: Options) -> int:
    as_json = options["log_format"] == "json"
    write = say_json if as_json else say
    log_to_stderr(options["verbosity"], of_project=True, as_json=as_json)
    project: Project = options["load_project"]()
    config = project.require_config()
    name = options["subscription"]
    subs = [sub for sub in project.subscriptions if sub.name == name]
    if not subs:
        names = [sub.name for sub in project.subscriptions]
        raise ConfigurationError(
            f"This project has no subscription {name!r}. {did_you_mean(name, names)}"
        )
    configuration.use(config)
    from rele.worker import create_and_run  # this late, since it loads Google's client

    say_project(config, write)
    once = RunOnce(EndingRule(options["wait"], options["most"]))
    control = RemoteControl(readers_of_controls(config))

    def before_run(worker: Worker) -> None:
        worker.remote_control = control
        once.take(worker)

    try:
        with in_each_worker(config):
            create_and_run(subs, config, before_run=before_run)
    except SystemExit as end:
        write(_summary(name, once))
        _require_certainty(once, config, name)
        return 1 if once.rule.failed else int(end.code or 0) or _status_of(once.stopped_by)
    return 0


def _require_certainty(once: RunOnce, config: Config, name: str) -> None:
    """Raise an error if Pub/Sub may have been unavailable when nothing was received."""
    unknown = f"Whether more waits in {name} is not known"
    if once.refusal is not None:
        refusal = once.refusal.rstrip(".")
        raise ReleError(f"{unknown}: no stream could be opened for a minute: {refusal}.")
    if not once.is_quiet:
        return
    from rele.project.access import access_to  # here, since it loads Google's client

    path = subscription_path(name, str(config.gc_project_id))
    try:
        with access_to(config) as access:
            access.waiting(path).require_answer()
    except ReleError as error:
        raise ReleError(f"{unknown}: {error}") from error


def _summary(name: str, once: RunOnce) -> str:
    text = f"Handled {once.rule.handled} message(s) of {name}"
    if once.rule.failed:
        text += f"; {once.rule.failed} failed"
    if once.stopped_by is not None:
        text += f"; stopped by {signal.Signals(once.stopped_by).name}: more may wait"
    return f"{text}."


def _status_of(signum: int | None) -> int:
    """The exit status as a shell has it for a process that a signal has ended: what waits is not
    handled, so that whoever started the command can start it again.
    """
    return 0 if signum is None else 128 + signum


RUN_ONCE = Subcommand(
    "run-once",
    "Handle the messages that wait in one subscription, and end: with status 1 if one has failed.",
    add_arguments,
    run,
)
