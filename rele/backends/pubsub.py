"""The backend that sends messages to Pub/Sub, by one of the two engines."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Protocol

from rele.backends import Accepted, BaseBackend, Message, Outcome, Refused, Report
from rele.engine.connection import Connection
from rele.engine.google.clients import no_project


class PubSubSettings(Protocol):
    """The part of a configuration that the backend reads.

    With an ``engine`` that is ``"rele"`` it has ``publisher_options``, too.
    """

    @property
    def gc_project_id(self) -> str | None: ...
    @property
    def credentials(self) -> Any: ...
    @property
    def client_options(self) -> Any: ...


class PubSubBackend(BaseBackend):
    """Sends messages by Relé's engine or by Google's client, as ``RELE["ENGINE"]`` says.

    A publisher that is built from its parts, without such a setting, uses Google's client.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
    """

    def __init__(self, config: PubSubSettings) -> None:
        if config.gc_project_id is None:
            raise no_project()
        connection = Connection(config.gc_project_id, config.credentials, config.client_options)
        # Each engine is imported where it is used, because loading it takes long.
        if getattr(config, "engine", "google") == "rele":
            from rele.engine.native.publishing.publisher import NativePublisher

            options = config.publisher_options  # type: ignore[attr-defined]
            self._engine: Any = NativePublisher(connection, options)
            self._is_native = True
        else:
            from rele.engine.google.publisher import GooglePublisher

            self._engine = GooglePublisher(connection)
            self._is_native = False

    @property
    def client(self) -> Any:
        """Google's client, if the engine has one.

        Raises:
            AttributeError: Relé's own engine has none.
        """
        return self._engine.client

    @client.setter
    def client(self, client: Any) -> None:
        self._engine.client = client

    def hand_over(
        self,
        messages: Sequence[Message],
        reports: Sequence[Report],
        *,
        timeout: float,
        at_once: bool,
    ) -> Sequence[Outcome | Future[str]]:
        if not self._is_native:
            return super().hand_over(messages, reports, timeout=timeout, at_once=at_once)
        answers: list[Future[str] | Exception] = self._engine.hand_over(
            messages, reports, timeout=timeout, at_once=at_once
        )
        # After a message that is not taken, none is.
        return _outcomes(answers) if isinstance(answers[-1], Exception) else answers  # type: ignore[return-value]

    def send(self, messages: Sequence[Message]) -> list[Accepted | Refused]:
        """Take ``messages``; return an outcome for each.

        If a message with an ordering key has failed by then, the later messages of that key fail
        as well, because they would overtake it. The next ``send`` resumes the key.
        """
        if not self._is_native:
            return _outcomes(self._engine.send(messages))
        reports = [_ignore] * len(messages)
        return _outcomes(self._engine.hand_over(messages, reports, timeout=0.0, at_once=False))

    def next_report(self, reported: SimpleQueue[Any], timeout: float) -> Any:
        if not self._is_native:
            return super().next_report(reported, timeout)
        return self._engine.next_report(reported, timeout)

    @property
    def reports_here(self) -> bool:
        return self._is_native and bool(self._engine.reports_here)

    def flush(self, timeout: float | None = None) -> None:
        """Start to send the accepted messages; their futures are done when they are sent."""
        self._engine.flush()

    def close(self, timeout: float | None = None) -> None:
        """Send the accepted messages within ``timeout`` seconds."""
        self._engine.close(timeout)

    def release(self) -> None:
        """Close the connections."""
        self._engine.release()

    @property
    def outstanding(self) -> tuple[int, int] | None:  # type: ignore[override]
        if not self._is_native:
            return None
        outstanding: tuple[int, int] = self._engine.outstanding
        return outstanding

    @property
    def address(self) -> str:  # type: ignore[override]
        address: str = self._engine.address
        return address


def _outcomes(answers: Sequence[Future[str] | Exception]) -> list[Accepted | Refused]:
    return [
        Refused(answer) if isinstance(answer, Exception) else Accepted(answer) for answer in answers
    ]


def _ignore(future: Future[str]) -> None:
    """Report nothing: the caller looks at the future."""
