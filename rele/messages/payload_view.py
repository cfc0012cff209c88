"""How messages are shown in logs, as the settings of a project say."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from rele.messages.redaction import LARGE, Redact, has_secrets, hide_secrets

logger = logging.getLogger(__name__)

LIMIT = 1_000
"""Characters of a payload in a line, unless ``RELE["LOG_PAYLOAD_LIMIT"]`` says otherwise."""

UNREADABLE = "(hidden: RELE['REDACT'] failed)"

LAST_COPY = {"rele_is_last_copy": True}
"""The ``extra`` of a record that has what is nowhere else: no filter of Relé's leaves it out."""

_COMPLAIN_EVERY = 60.0
"""Seconds."""


class PayloadView:
    """Shows payloads and attributes without what is not for the log.

    Args:
        redact: ``RELE["REDACT"]``.
        shows_payloads: ``RELE["LOG_PAYLOADS"]``.
        limit: ``RELE["LOG_PAYLOAD_LIMIT"]``, in characters.
        now: a clock, in seconds.
    """

    def __init__(
        self,
        redact: Redact | None = None,
        *,
        shows_payloads: bool = True,
        limit: int = LIMIT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redact = redact or hide_secrets
        self.is_of_project = redact not in (None, hide_secrets)
        """Whether the project has a function of its own for it."""
        self._shows_payloads = shows_payloads
        self._limit = limit
        self._now = now
        self._complained_at = -_COMPLAIN_EVERY

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PayloadView:
        """The view that the settings ``values`` describe."""
        return cls(
            values["REDACT"],
            shows_payloads=values["LOG_PAYLOADS"],
            limit=values["LOG_PAYLOAD_LIMIT"],
        )

    def payload(self, payload: bytes) -> str:
        """The payload as a line of a log has it: redacted, and cut."""
        if not self._shows_payloads:
            return fingerprint(payload)
        part = 4 * self._limit + LARGE
        if self._redact is hide_secrets and len(payload) > part:
            # The default finds secrets in a part of a text, too, and so needs not read all of it.
            text = str(self._redacted(payload[:part].decode("utf-8", "replace")))
            return f"{text[: self._limit]}… ({len(payload):,} bytes in all)"
        return self.cut(self.whole_payload(payload))

    def whole_payload(self, payload: bytes) -> str:
        """The payload, redacted, in text."""
        text = self.text_of(payload)
        return text if isinstance(text, str) else repr(text)

    def text_of(self, payload: bytes) -> str | bytes:
        """The payload, redacted; as it is where it is no text."""
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            return payload
        if self._redact is hide_secrets:
            return str(self._redacted(text))
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return str(self._redacted(text))
        shown = self._redacted(data)
        return text if shown == data else _as_text(shown)

    def data(self, data: Any) -> Any:
        """Data that was to be published, redacted."""
        return self._redacted(data)

    def attributes(self, attributes: Mapping[str, str]) -> Mapping[str, Any]:
        """The attributes, redacted."""
        if self._redact is hide_secrets and not has_secrets(attributes):
            return attributes
        shown = self._redacted(dict(attributes))
        return shown if isinstance(shown, Mapping) else {"": str(shown)}

    def cut(self, text: str) -> str:
        """As much of ``text`` as a line has."""
        more = len(text) - self._limit
        return text if more <= 0 else f"{text[: self._limit]}… ({more:,} characters more)"

    def _redacted(self, data: Any) -> Any:
        try:
            return self._redact(data)
        except Exception:
            now = self._now()
            if now - self._complained_at >= _COMPLAIN_EVERY:
                self._complained_at = now
                logger.exception("RELE['REDACT'] failed: what it failed on is not shown.")
            return UNREADABLE


def fingerprint(payload: bytes) -> str:
    """Describe the payload by its size in bytes and its SHA-256."""
    return f"{len(payload)} bytes, SHA-256 {hashlib.sha256(payload).hexdigest()}"


def _as_text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
