"""Checks of resource names.

The rules are those of "Guidelines to name a topic or subscription" in the Pub/Sub documentation.
Project ids are not checked by the service's own rules: one invented for a test may be short.
"""

import re
import secrets

from rele.emulator.rules.refusals import InvalidArgumentError

DELETED_TOPIC = "_deleted-topic_"
"""A subscription's topic after the topic was deleted (Subscription in the API reference)."""

_PROJECT = re.compile(r"projects/[^/\s]+")
_RESOURCE = re.compile(
    r"projects/[^/\s]+/(?P<collection>topics|subscriptions|snapshots)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
)


def check_topic(name: str, field: str) -> None:
    """Raise ``InvalidArgumentError`` unless ``name`` is that of a topic; ``field`` is named."""
    _check_resource(name, "topics", field)


def check_subscription(name: str, field: str) -> None:
    """Raise ``InvalidArgumentError`` unless ``name`` is that of a subscription."""
    _check_resource(name, "subscriptions", field)


def check_snapshot(name: str, field: str) -> None:
    """Raise ``InvalidArgumentError`` unless ``name`` is that of a snapshot."""
    _check_resource(name, "snapshots", field)


def check_project(name: str, field: str) -> None:
    """Raise ``InvalidArgumentError`` unless ``name`` is ``projects/PROJECT``."""
    if not _PROJECT.fullmatch(name):
        raise InvalidArgumentError(
            f"Invalid resource name given (name={name}): {field} must be projects/PROJECT."
        )


def made_up_subscription(topic: str) -> str:
    """A subscription name of the server's choice, in the project of ``topic``."""
    return f"{project_of(topic)}/subscriptions/sub-{secrets.token_hex(8)}"


def made_up_snapshot(subscription: str) -> str:
    """A snapshot name of the server's choice, in the project of ``subscription``."""
    return f"{project_of(subscription)}/snapshots/snap-{secrets.token_hex(8)}"


def project_of(name: str) -> str:
    """The ``projects/PROJECT`` that a topic, subscription or snapshot belongs to."""
    return "/".join(name.split("/", 2)[:2])


def _check_resource(name: str, collection: str, field: str) -> None:
    match = _RESOURCE.fullmatch(name)
    if match is None or match["collection"] != collection:
        raise InvalidArgumentError(
            f"Invalid resource name given (name={name}): {field} must be "
            f"projects/PROJECT/{collection}/ID, the ID 3 to 255 letters, digits or -._~+%, "
            "starting with a letter and not with goog."
        )
