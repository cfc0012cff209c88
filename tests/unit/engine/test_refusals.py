from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError

from rele.engine.refusals import explain
from rele.messages.explaining import in_one_line, origin_of

PATH = "projects/shop/topics/order-payed"
ADDRESS = "pubsub.googleapis.com:443"


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            exceptions.NotFound("Resource not found (resource=order-payed)."),
            (
                "the topic 'order-payed' does not exist in project shop. Run the worker that "
                "subscribes to it, or create it."
            ),
        ),
        (
            exceptions.NotFound("Requested project not found or user does not have access to it."),
            "the project shop does not exist, or the credentials may not see it.",
        ),
        (
            exceptions.PermissionDenied("User not authorized to perform this action."),
            (
                "the credentials lack the permission pubsub.topics.publish for the topic "
                "'order-payed' in project shop (Pub/Sub says: User not authorized to perform this "
                "action). Grant roles/pubsub.publisher on the topic."
            ),
        ),
        (
            exceptions.ServiceUnavailable("failed to connect\nto all addresses"),
            (
                "pubsub.googleapis.com:443 did not accept the message for the topic "
                "'order-payed' in project shop (failed to connect to all addresses): check the "
                "network, and the api_endpoint of RELE['CLIENT_OPTIONS'] if one is set"
            ),
        ),
        (
            exceptions.InvalidArgument("too many attributes."),
            (
                "the message for the topic 'order-payed' in project shop was not accepted: too "
                "many attributes."
            ),
        ),
        (
            TransportError("no route"),
            (
                "the message for the topic 'order-payed' in project shop was not accepted: "
                "TransportError: no route."
            ),
        ),
    ],
)
def test_says_what_was_wrong_and_what_to_do(error: Exception, line: str) -> None:
    explained = explain(error, PATH, ADDRESS)

    assert type(explained) is type(error)
    assert in_one_line(explained) == line
    assert origin_of(explained) is error


def test_an_error_of_credentials_keeps_whether_it_passes() -> None:
    explained = explain(RefreshError("away", retryable=True), PATH, ADDRESS)

    assert isinstance(explained, RefreshError)
    assert explained.retryable


def test_an_error_that_is_not_of_google_is_left_alone() -> None:
    error = ValueError("no room")

    assert explain(error, PATH, ADDRESS) is error
