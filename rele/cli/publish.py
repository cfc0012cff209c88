"""``publish``: one message, from the command line."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rele import config as configuration
from rele import publishing
from rele.cli.subcommand import Options, Subcommand
from rele.exceptions import ConfigurationError, ReleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help="the topic's id, without the project")
    parser.add_argument("data", metavar="DATA", type=_json, help="the message's data, as JSON")
    parser.add_argument(
        "attributes",
        metavar="KEY=VALUE",
        type=_attribute,
        nargs="*",
        help="the message's attributes",
    )


def run(options: Options) -> int:
    try:
        publishing.configure()
    except ConfigurationError:  # no settings: the environment may be enough
        configuration.setup({})
    try:
        future = publishing.publish(
            options["topic"], options["data"], blocking=True, **dict(options["attributes"])
        )
    except ReleError:
        raise
    except Exception as error:
        raise ReleError(_explain(options["topic"], error)) from error
    print(future.result())
    return 0


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not JSON ({error}); a string needs its quotes: '\"hello\"'"
        ) from error


def _attribute(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def _explain(topic: str, error: Exception) -> str:
    """Why the message was not published, and what to do."""
    reasons = {
        "NotFound": "the topic does not exist. Run the worker that subscribes to it, which makes "
        "it, or make it in Google Cloud.",
        "PermissionDenied": "the credentials lack the permission pubsub.topics.publish. Grant "
        "roles/pubsub.publisher on the topic.",
        "MessageTooLargeError": "the message is larger than Pub/Sub takes, 10,000,000 bytes. "
        "Store the data elsewhere and publish where it is.",
        "TimeoutError": "it was not accepted within RELE['PUBLISHER_TIMEOUT']. Check the network, "
        "and PUBSUB_EMULATOR_HOST where it is set; the message may still arrive.",
    }
    reason = reasons.get(type(error).__name__, f"{type(error).__name__}: {error}")
    return f"The message for the topic {topic!r} was not published: {reason}"


PUBLISH = Subcommand("publish", "Publish one message and print its id.", add_arguments, run)
