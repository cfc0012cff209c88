"""``publish``: one message, from the command line."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rele import config as configuration
from rele import publishing
from rele.backends import DeferredFuture
from rele.cli.output import OutputError, printing
from rele.cli.subcommand import Options, Subcommand
from rele.config import Config
from rele.discover import has_manage_py
from rele.exceptions import ConfigurationError, NoSettingsError, ReleError
from rele.messages.explaining import in_one_line
from rele.project.loading import load_settings
from rele.project.startup import say, say_project


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help="the topic's id, without the project")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="the message's data as JSON; - reads it from the standard input",
    )
    parser.add_argument(
        "attributes", metavar="KEY=VALUE", nargs="*", help="the message's attributes"
    )


def run(options: Options) -> int:
    data = _read_json(options["data"])
    attributes = _read_attributes(options["attributes"])
    config = _configure()
    if config.publishes_to_pubsub:
        say_project(config)
    # The error below says what failed: the middleware's record of it, with a traceback, is left
    # to a project that has set logging up.
    logging.getLogger("rele").addHandler(logging.NullHandler())
    try:
        # Not by publish(): the names of its arguments may be those of attributes here.
        [future] = publishing.publish_many(options["topic"], [(data, attributes)], blocking=True)
    except ReleError:
        raise
    except Exception as error:
        raise ReleError(
            f"The message for the topic {options['topic']!r} was not published: "
            f"{in_one_line(error)}"
        ) from error
    _print_id(future.result())
    if isinstance(future, DeferredFuture):
        _say_who_sends_it(future, config)
    return 0


def _say_who_sends_it(future: DeferredFuture, config: Config) -> None:
    with suppress(OSError, ValueError):  # the message is stored, whoever can read that
        say(future.advice or f"Stored by {config.publisher_backend}, to be sent later.")


def _print_id(message_id: str) -> None:
    try:
        with printing() as show:
            show(message_id)
    except OutputError as error:
        raise OutputError(f"The message was published with the id {message_id}. {error}") from error


def _configure() -> Config:
    try:
        setting = configuration.read_settings()
    except NoSettingsError as error:
        if has_manage_py():
            raise ConfigurationError(
                "This is a Django project, whose settings rele-cli does not read: the message "
                "would go to another Pub/Sub project. Use `python manage.py rele publish`."
            ) from error
        setting = {}  # the environment may be enough
    config = load_settings(setting).require_config()
    configuration.use(config)
    return config


def _read_json(text: str) -> Any:
    if text == "-":
        text = sys.stdin.read()
    try:
        return json.loads(text)
    except ValueError as error:
        raise ReleError(
            f"DATA must be JSON, not {_shortened(text)!r}: {error}. A string needs its quotes: "
            "'\"hello\"'."
        ) from error


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"


def _read_attributes(texts: Iterable[str]) -> dict[str, str]:
    attributes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ReleError(f"An attribute must be KEY=VALUE, such as country=ES, not {text!r}.")
        attributes[key] = value
    return attributes


PUBLISH = Subcommand("publish", "Publish one message and print its id.", add_arguments, run)
