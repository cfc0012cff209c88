"""Why a stream was ended, and what a person must do about it."""

from __future__ import annotations

from google.api_core.exceptions import (
    FailedPrecondition,
    Forbidden,
    GoogleAPICallError,
    MethodNotImplemented,
    NotFound,
    Unauthorized,
)

from rele.engine.failures import is_passing
from rele.engine.outage_reports import in_a_line
from rele.exceptions import ReleError


def reason_of(error: BaseException) -> str:
    """The text of ``error`` in one line, never empty."""
    if isinstance(error, GoogleAPICallError) and not error.message:
        return f"Pub/Sub ended it with {_status(error)}, without a reason"
    return in_a_line(error) or repr(error)


def needs_a_person(error: BaseException) -> bool:
    """Whether ``error`` lasts until a person corrects its cause."""
    if isinstance(error, MethodNotImplemented):
        return True
    return _status(error) != "OK" and not is_passing(error)


def remedy_for(error: BaseException, subscription: str) -> str:
    """What a person must do; empty if the text of the error says it.

    Args:
        error: the error that has ended the stream, which needs a person.
        subscription: the subscription's name.
    """
    if isinstance(error, ReleError):
        return ""
    if isinstance(error, (Forbidden, Unauthorized)):
        return (
            "The credentials need the permission pubsub.subscriptions.consume, which "
            "roles/pubsub.subscriber has."
        )
    if isinstance(error, FailedPrecondition):
        return (
            f"`gcloud pubsub subscriptions describe {subscription}` shows what is wrong. One that "
            "is detached from its topic (detached: true) never gets a message again: delete it, "
            "and make it again, or let the worker do that. One that pushes or exports its "
            "messages has to be changed to pull."
        )
    if isinstance(error, NotFound):
        return (
            "Make the subscription, or let the worker make it: RELE['RESOURCES'] has to be "
            "'apply' or 'create' for that."
        )
    return (
        f"Compare `gcloud pubsub subscriptions describe {subscription}` with what the code states, "
        "and see where RELE['CLIENT_OPTIONS'] leads."
    )


def _status(error: BaseException) -> str:
    """The name of the status that Pub/Sub has returned; ``OK`` if it has not refused anything."""
    if not isinstance(error, GoogleAPICallError):
        return "no status"
    return error.grpc_status_code.name if error.grpc_status_code else "OK"
