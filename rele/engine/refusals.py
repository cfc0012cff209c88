"""Why Pub/Sub did not accept a message, and what to do about it."""

from __future__ import annotations

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from rele.endpoint import what_to_check
from rele.messages.explaining import explained, in_one_line

_NOT_THERE = (exceptions.RetryError, exceptions.ServiceUnavailable, exceptions.GatewayTimeout)
"""No server answers, or it does not answer in time."""


def explain(error: Exception, topic_path: str, address: str) -> Exception:
    """Return ``error``, explained in one line if it is Google's; its class stays the same.

    Args:
        error: the error of publishing to the topic.
        topic_path: ``projects/PROJECT/topics/TOPIC``.
        address: the ``host:port`` of Pub/Sub.
    """
    if isinstance(error, (exceptions.GoogleAPIError, GoogleAuthError)):
        return explained(error, _reason(error, topic_path, address))
    return error


def _reason(error: Exception, topic_path: str, address: str) -> str:
    _, project, _, topic = topic_path.split("/", 3)
    where = f"the topic {topic!r} in project {project}"
    says = _words_of(error)
    if isinstance(error, exceptions.NotFound):
        if "project not found" in says.lower():
            return f"the project {project} does not exist, or the credentials may not see it."
        return (
            f"the topic {topic!r} does not exist in project {project}. Run the worker that "
            "subscribes to it, or create it."
        )
    if isinstance(error, exceptions.Forbidden):
        return (
            f"the credentials lack the permission pubsub.topics.publish for {where} (Pub/Sub says: "
            f"{says}). Grant roles/pubsub.publisher on the topic."
        )
    if isinstance(error, _NOT_THERE):
        # No full stop: a RetryError shows the last failure after it.
        advice = what_to_check(address).rstrip(".")
        return f"{address} did not accept the message for {where} ({says}): {advice}"
    return f"the message for {where} was not accepted: {says}."


def _words_of(error: Exception) -> str:
    """The service's own words, without the prefix of Google's client."""
    text = getattr(error, "message", None)
    return " ".join(str(text).split()).rstrip(".") if text else in_one_line(error)
