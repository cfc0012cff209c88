"""The exceptions that Relé raises. Each message says what is wrong and how to correct it."""

from __future__ import annotations

import importlib
import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_DELAY = 600
"""Seconds: the longest ack deadline (ModifyAckDeadlineRequest in the Pub/Sub API reference)."""


class ReleError(Exception):
    """The base class of all exceptions of Relé."""


class ConfigurationError(ReleError):
    """The ``RELE`` settings, or a file or class that they name, cannot be used."""


class _MissingError(ConfigurationError):
    """Something is missing; the docstring of each subclass is its message."""

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


class UnusableCredentialsError(NoCredentialsError):
    """GOOGLE_APPLICATION_CREDENTIALS names a file that has no Google credentials."""

    def __init__(self, reason: str) -> None:
        ConfigurationError.__init__(
            self,
            "The file that GOOGLE_APPLICATION_CREDENTIALS names in the environment cannot be used: "
            f"{reason.removesuffix('.')}. Write the path of the key file of a service account "
            "there, or unset it. Without a Google account, start `rele-cli emulator` and set "
            "PUBSUB_EMULATOR_HOST.",
        )


class ResourceError(ReleError):
    """Pub/Sub refused to read, create or change a topic or a subscription."""


class ThreadStartError(ReleError, RuntimeError):
    """The system starts no more threads for this process.

    Args:
        needed_for: the name or the purpose of the thread.
        advice: what else can be done than raising the limit, or what follows.
    """

    def __init__(
        self, needed_for: str, advice: str = ", or lower RELE['THREADS_PER_SUBSCRIPTION']."
    ) -> None:
        super().__init__(
            f"No thread can be started for {needed_for}: raise the limit of threads (`ulimit -u`, "
            f"or pids of the container){advice}"
        )

    @classmethod
    def of_publisher(cls, thread: str) -> ThreadStartError:
        """The error of a message that cannot be sent, for lack of the ``thread`` of that name."""
        return cls(f"publishing ({thread})", ". The next publish tries again.")


class PublisherFull(ReleError):  # noqa: N818 - named like queue.Full
    """The process has as many unsent messages as it may have; this one is not sent.

    Args:
        messages: how many are outstanding, handed over and not yet reported as sent or failed.
        size: how many bytes these have.
        limit_messages: how many may be outstanding.
        limit_bytes: how many bytes may be.
    """

    def __init__(self, messages: int, size: int, limit_messages: int, limit_bytes: int) -> None:
        super().__init__(messages, size, limit_messages, limit_bytes)
        self.messages = messages
        self.size = size
        self.limit_messages = limit_messages
        self.limit_bytes = limit_bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        key, limit = "max_bytes", self.limit_bytes
        if self.messages >= self.limit_messages:
            key, limit = "max_messages", self.limit_messages
        return (
            f"The message is not sent: {self.messages} messages with {self.size} bytes are "
            f"outstanding in this process, and RELE['PUBLISHER_LIMITS'][{key!r}] allows {limit}. "
            "Pub/Sub is unavailable, or accepts messages more slowly than they are published. "
            "Publish it again later, publish with a longer timeout, or raise the limit."
        )


class DecodeError(ReleError):
    """The payload of a message cannot be decoded: it is not JSON in UTF-8, as Relé publishes it.

    Relé raises one of the subclasses, each of which is also an exception of the standard library.
    """

    in_short = "it is not JSON in UTF-8"
    """What is wrong, without a byte of the payload."""


class NotJSONError(DecodeError, json.JSONDecodeError):
    """The payload is UTF-8, but not JSON that Python can read."""


class NotUTF8Error(DecodeError, UnicodeDecodeError):
    """The payload is not UTF-8."""

    def __str__(self) -> str:
        return f"The payload is not JSON in UTF-8: {UnicodeDecodeError.__str__(self)}"


class CodecError(DecodeError, ValueError):
    """The function that decodes the payloads of a subscription cannot read this one.

    Args:
        codec: the function's dotted path.
        error: what it has raised.
    """

    in_short = "its codec cannot read it"

    def __init__(self, codec: str, error: Exception) -> None:
        super().__init__(codec, error)
        self.codec = codec
        self.error = error

    def __str__(self) -> str:
        return (
            f"The codec {self.codec} cannot read the payload: {type(self.error).__name__}: "
            f"{self.error}"
        )


class Decision(ReleError):  # noqa: N818 - not an error, but a choice of the handler
    """Raised by a handler to decide what happens to its message."""


class Drop(Decision):
    """Raise it in a handler to acknowledge the message, although it was not handled."""


class Retry(Decision):
    """Raise it in a handler to have the message redelivered.

    Args:
        delay: how many seconds, up to 600, to wait at least before it is redelivered; with ``None``
            the subscription's retry policy decides, as for any other exception.

    Raises:
        ValueError: Pub/Sub cannot delay a message for that long.
    """

    def __init__(self, delay: float | None = None) -> None:
        if delay is not None and not 0 <= delay <= MAX_DELAY:
            raise ValueError(
                f"The delay of a Retry must be a number of seconds from 0 to {MAX_DELAY}, not "
                f"{delay!r}."
            )
        self.delay = delay
        super().__init__("redeliver it" if delay is None else f"redeliver it in {delay} s or later")


class DeadLetter(Decision):
    """Raise it in a handler to move the message to the dead-letter topic now.

    On a subscription without a dead-letter policy the message is nacked, and an error is logged.
    """


class Reject(Decision):
    """Raise it in a handler for a message that will fail at each delivery, whatever is done.

    The message is moved to the dead-letter topic. On a subscription without a dead-letter policy it
    is acknowledged. Either way, an error is logged.
    """


class PartialFailure(ReleError):  # noqa: N818 - named for what it says of the batch
    """Raise it in a handler of batches if only some of its messages have failed::

        raise PartialFailure({message: error})

    Each message that it names is treated as if its handler had raised the error, which may be a
    :class:`Decision`: ``Retry(delay)``, ``Drop()`` or ``DeadLetter()``. The others are
    acknowledged.

    Args:
        errors: the error of each message that has failed; at least one.

    Raises:
        TypeError: an error is not an exception.
        ValueError: no message is named.
    """

    def __init__(self, errors: Mapping[Any, BaseException]) -> None:
        self.errors = dict(errors)
        if not self.errors:
            raise ValueError("A PartialFailure names no message: return, where none has failed.")
        for message, error in self.errors.items():
            if not isinstance(error, BaseException):
                raise TypeError(
                    f"A PartialFailure needs an exception for each message, not {error!r} for "
                    f"{message!r}. Write PartialFailure({{message: error}})."
                )
        super().__init__(f"{len(self.errors)} messages of the batch have failed")


class OrderingKeyFailed(Retry):
    """What hooks get for a message of a batch that has not failed itself.

    An earlier message of its ordering key has failed, and is to be redelivered before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.args = ("redelivered after an earlier message of its ordering key, which failed",)


def import_failure(what: str, error: Exception) -> str:
    """An error message: ``what`` cannot be imported, the reason, and the line."""
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    reason = reason.removesuffix(".")
    return f"{what} cannot be imported: {type(error).__name__}: {reason}{_place_of(error)}."


def _place_of(error: Exception) -> str:
    """`` (file, line number)`` of the innermost line in the traceback that is the project's."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}, line {error.lineno})"
    machinery = (str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<")
    places = [
        frame
        for each in (error, error.__cause__)  # the cause is nearer to what is wrong
        if each is not None
        for frame in traceback.extract_tb(each.__traceback__)
        if not frame.filename.startswith(machinery)
    ]
    return f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""
