from __future__ import annotations

import pickle
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest
from google.api_core.exceptions import NotFound, RetryError, ServiceUnavailable

from rele.messages.explaining import explained, forget_way, in_one_line, origin_of, with_text


def raised(error: BaseException) -> BaseException:
    """The error with a traceback, a cause and a context."""
    try:
        try:
            raise ValueError("deep down")
        except ValueError as cause:
            raise error from cause
    except BaseException as caught:  # noqa: BLE001 - it is what the test is about
        return caught


def test_the_explained_error_has_the_class_and_the_code_and_nothing_that_led_to_it() -> None:
    error = raised(NotFound("Topic not found", details=["one", "two"]))

    copy = explained(error, "the topic is not there.")

    assert type(copy) is NotFound
    assert copy.code == 404
    assert str(copy) == "404 the topic is not there."
    assert (copy.__cause__, copy.__context__, copy.__traceback__) == (None, None, None)
    assert origin_of(copy) is error
    assert str(error).startswith("404 Topic not found")
    assert error.__traceback__ is not None


def test_a_retry_error_keeps_the_last_failure() -> None:
    copy = explained(RetryError("Timeout", ServiceUnavailable("away")), "nobody answers")

    assert isinstance(copy.cause, ServiceUnavailable)
    assert in_one_line(copy) == "nobody answers, last exception: 503 away"


def test_an_explained_error_can_be_sent_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(explained(NotFound("Topic not found"), "it is not there.")))

    assert type(copy) is NotFound
    assert str(copy) == "404 it is not there."


@pytest.mark.parametrize("error", [TimeoutError(), FutureTimeoutError(), ValueError("old", 3)])
def test_a_text_can_be_given_to_any_error(error: Exception) -> None:
    copy = with_text(error, "new")

    assert type(copy) is type(error)
    assert str(copy) == "new"
    assert origin_of(copy) is None


def test_only_an_explained_error_forgets_its_way() -> None:
    own, of_google = raised(ValueError()), explained(NotFound("no"), "not there")
    raised(of_google)

    forget_way(own)
    forget_way(of_google)

    assert own.__traceback__ is not None
    assert of_google.__traceback__ is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (TimeoutError(), "TimeoutError"),
        (TimeoutError("not in time"), "not in time"),
        (FutureTimeoutError("not in time"), "not in time"),
        (explained(NotFound("no"), "it is not there."), "it is not there."),
        (NotFound("no"), "NotFound: 404 no"),
    ],
)
def test_one_line(error: BaseException, line: str) -> None:
    assert in_one_line(error) == line
