"""How Relé's own publisher batches, bounds and retries what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from rele.exceptions import ConfigurationError
from rele.schema.keys import problems_of_keys, problems_of_waits
from rele.schema.settings import BATCHING, DEFAULTS, LIMITS, SETTINGS

_NAMES = (
    "PUBLISHER_BATCHING",
    "PUBLISHER_COMPRESSION",
    "PUBLISHER_FORKED",
    "PUBLISHER_LIMITS",
    "PUBLISHER_RETRY_FOR",
)


@dataclass(frozen=True)
class PublisherOptions:
    """What the ``PUBLISHER_…`` settings say about Relé's own publisher.

    Bytes are those of messages and requests as they are serialized, before compression.
    """

    max_messages: int = BATCHING["max_messages"].default
    """Messages of a request, at most."""
    max_bytes: int = BATCHING["max_bytes"].default
    """Bytes of a request, at most; a single message may have more."""
    max_wait: float = BATCHING["max_wait"].default
    """Seconds from a request's first gathered message until the request is sent, at most."""
    limit_messages: int = LIMITS["max_messages"].default
    """Messages that a process has outstanding, at most."""
    limit_bytes: int = LIMITS["max_bytes"].default
    """Bytes of the messages that a process has outstanding, at most."""
    retry_for: float = DEFAULTS["PUBLISHER_RETRY_FOR"]
    """Seconds from handing a message over until it is reported as failed."""
    compression: int | None = None
    """Bytes from which a request is compressed by gzip; ``None`` if none is."""
    forked: Literal["wait", "background"] | None = None
    """Whether a publish in a forked process waits for its outcome; ``None`` if the way in which
    the process ends decides.
    """

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PublisherOptions:
        """The options that the ``RELE`` dict states, with the defaults of those that it does not.

        Raises:
            ConfigurationError: a value cannot be used.
        """
        values = {name: settings.get(name, DEFAULTS[name]) for name in _NAMES}
        for problem in chain(problems_of_keys(values, SETTINGS, "RELE"), problems_of_waits(values)):
            if problem.is_error:
                raise ConfigurationError(str(problem))
        batching, limits = values["PUBLISHER_BATCHING"], values["PUBLISHER_LIMITS"]
        return cls(
            **{key: batching[key] for key in BATCHING if key in batching},
            **{f"limit_{key.removeprefix('max_')}": limits[key] for key in LIMITS if key in limits},
            retry_for=values["PUBLISHER_RETRY_FOR"],
            compression=values["PUBLISHER_COMPRESSION"],
            forked=values["PUBLISHER_FORKED"],
        )
