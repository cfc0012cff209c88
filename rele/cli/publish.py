"""``publish``: one message, from the command line."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

from rele import config as configuration
from rele import publishing
from rele.cli.subcommand import Options, Subcommand
from rele.config import Config
from rele.exceptions import NoSettingsError, ReleError
from rele.inspection import problems_of_settings
from rele.reachability import pubsub_address
from rele.starting import raise_for_a_worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help="the topic's id, without the project")
    parser.add_argument(
        "data", metavar="DATA", help="the message's data, as JSON; - reads the standard input"
    )
    parser.add_argument(
        "attributes", metavar="KEY=VALUE", nargs="*", help="the message's attributes"
    )


def run(options: Options) -> int:
    data = _read_json(options["data"])
    attributes = _read_attributes(options["attributes"])
    config = _configure()
    address = pubsub_address(config.client_options)
    # The error below says what failed: the middleware's record of it, with a traceback, is left
    # to a project that has set logging up.
    logging.getLogger("rele").addHandler(logging.NullHandler())
    try:
        # Not by publish(): the names of its arguments may be those of attributes here.
        [future] = publishing.publish_many(options["topic"], [(data, attributes)], blocking=True)
    except ReleError:
        raise
    except Exception as error:
        reason = _explain(error, address, config.publisher_timeout)
        raise ReleError(
            f"The message for the topic {options['topic']!r} was not published: {reason}"
        ) from error
    print(future.result())
    return 0


def _configure() -> Config:
    try:
        setting = configuration.read_settings()
    except NoSettingsError:
        setting = {}  # the environment may be enough
    raise_for_a_worker(problems_of_settings(setting))
    return configuration.setup(setting)


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


def _explain(error: Exception, address: str, timeout: float) -> str:
    """Why the message was not published, and what to do."""
    reasons = {
        "NotFound": "the topic does not exist. Run the worker that subscribes to it, which makes "
        "it, or make it in Google Cloud.",
        "PermissionDenied": "the credentials lack the permission pubsub.topics.publish. Grant "
        "roles/pubsub.publisher on the topic.",
        "MessageTooLargeError": "the message is larger than Pub/Sub takes, 10,000,000 bytes. "
        "Store the data elsewhere and publish where it is.",
        "TimeoutError": f"{address} did not accept it within {timeout} s. Check the network, and "
        "PUBSUB_EMULATOR_HOST where it is set; the message may still arrive.",
    }
    return reasons.get(type(error).__name__, f"{type(error).__name__}: {error}")


PUBLISH = Subcommand("publish", "Publish one message and print its id.", add_arguments, run)
