"""What Relé raises. Each message says what was wrong and what to do about it."""

from __future__ import annotations

import importlib
import json
import traceback
from pathlib import Path

MAX_DELAY = 600
"""Seconds: the longest ack deadline (ModifyAckDeadlineRequest in the Pub/Sub API reference)."""


class ReleError(Exception):
    """The base of everything that Relé itself raises."""


class ConfigurationError(ReleError):
    """The ``RELE`` settings, or what they point to, cannot be used."""


class _MissingError(ConfigurationError):
    """Something is not there; the class's docstring is the message."""

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class NoSettingsError(_MissingError, ValueError):
    """Relé is not set up: call rele.setup({...}), or add `rele` to INSTALLED_APPS, or start in a
    folder with a settings.py that has a dict named RELE.
    """


class NoProjectError(_MissingError):
    """No Google Cloud project is known.

    Give it as RELE["GC_PROJECT_ID"], or in the environment as GOOGLE_CLOUD_PROJECT, or set
    RELE["GC_CREDENTIALS_PATH"] to a service account's key file, which names its project.
    Without a Google account, start `rele-cli emulator` and set PUBSUB_EMULATOR_HOST.
    """


class NoCredentialsError(_MissingError):
    """No Google credentials are found.

    Give the key file of a service account as RELE["GC_CREDENTIALS_PATH"], or in the environment
    as GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`.
    Without a Google account, start `rele-cli emulator` and set PUBSUB_EMULATOR_HOST.
    """


class ResourceError(ReleError):
    """Pub/Sub refused to read, create or change a topic or a subscription."""


class DecodeError(ReleError):
    """The payload of a message is not what Relé publishes: JSON in UTF-8.

    It is raised as one of the two classes below, which are those of the standard library, too.
    """


class NotJSONError(DecodeError, json.JSONDecodeError):
    """The payload is UTF-8, but no JSON that can be used."""


class NotUTF8Error(DecodeError, UnicodeDecodeError):
    """The payload is not UTF-8."""

    def __str__(self) -> str:
        return f"The payload is not JSON in UTF-8: {UnicodeDecodeError.__str__(self)}"


class Steering(ReleError):  # noqa: N818 - it is no error, but an instruction
    """What a handler raises to say what is to become of its message."""


class Drop(Steering):
    """Raise it in a handler to have the message acknowledged, although it was not handled."""


class Retry(Steering):
    """Raise it in a handler to have the message delivered again.

    Args:
        delay: seconds, up to 600, before which it does not come back; ``None`` leaves the pause
            to the subscription's retry policy, as for any other exception.

    Raises:
        ValueError: Pub/Sub cannot hold a message back for that long.
    """

    def __init__(self, delay: float | None = None) -> None:
        if delay is not None and not 0 <= delay <= MAX_DELAY:
            raise ValueError(
                f"The delay of a Retry must be a number of seconds from 0 to {MAX_DELAY}, not "
                f"{delay!r}."
            )
        self.delay = delay
        super().__init__("again later" if delay is None else f"again, not before {delay} s")


class DeadLetter(Steering):
    """Raise it in a handler to have the message put into the dead-letter topic, for good.

    On a subscription without a dead-letter policy it is an error in the log, and the message is
    given back.
    """


def import_failure(what: str, error: Exception) -> str:
    """The sentence that ``what`` cannot be imported, why, and at which line of the project."""
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{what} cannot be imported: {type(error).__name__}: {reason}{_place_of(error)}."


def _place_of(error: Exception) -> str:
    """`` (file, line number)``: the last one that is not of the machinery that imports."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}, line {error.lineno})"
    machinery = (str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<")
    root = error.__cause__ or error
    places = [
        frame
        for frame in traceback.extract_tb(root.__traceback__)
        if not frame.filename.startswith(machinery)
    ]
    return f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""
