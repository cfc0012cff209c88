"""What is answered to whoever asks a process how it is, by path."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rele.status.encoding import as_data
from rele.status.health import Health, HealthJudge
from rele.status.providers import RenderMetrics
from rele.status.snapshot import Snapshot

logger = logging.getLogger(__name__)

PATHS = ("/livez", "/readyz", "/metrics", "/status")

_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    """Of HTTP."""
    content_type: str
    body: bytes


class Replies:
    """Answers about one process, or about all that a supervisor has started.

    Args:
        snapshots: gives one of each process.
        metrics: gives what renders ``/metrics``, if anything does.
        now: the time, in seconds of a clock that only advances.
    """

    def __init__(
        self,
        snapshots: Callable[[], Sequence[Snapshot]],
        metrics: Callable[[], RenderMetrics | None],
        now: Callable[[], float],
    ) -> None:
        self._snapshots = snapshots
        self._metrics = metrics
        self._now = now
        self._judge = HealthJudge()
        self._lock = threading.Lock()

    def reply(self, path: str) -> Reply:
        """What is answered to a GET of ``path``, which has no query."""
        match path:
            case "/livez":
                health = self._health(self._snapshots())
                return _probe("live", health.not_live)
            case "/readyz":
                snapshots = self._snapshots()
                health = self._health(snapshots)
                return _probe("ready", health.not_ready, _remarks(health, snapshots))
            case "/status":
                return self._status()
            case "/metrics":
                return self._rendered()
        return _text(404, f"There is nothing here. Ask for {', '.join(PATHS)}.")

    def _health(self, snapshots: Sequence[Snapshot]) -> Health:
        with self._lock:
            return self._judge.judge(snapshots, self._now())

    def _status(self) -> Reply:
        snapshots = self._snapshots()
        health = self._health(snapshots)
        data = {
            "is_live": health.is_live,
            "is_ready": health.is_ready,
            **asdict(health),
            "processes": [as_data(each) for each in snapshots],
        }
        return Reply(200, "application/json", json.dumps(data, default=str).encode())

    def _rendered(self) -> Reply:
        render = self._metrics()
        if render is None:
            return _text(
                404,
                "There are no metrics: add 'rele.contrib.PrometheusMiddleware' to "
                "RELE['MIDDLEWARE'], and install rele[prometheus].",
            )
        try:
            content_type, body = render(self._snapshots())
        except Exception:
            logger.exception("The metrics could not be rendered.")
            return _text(500, "The metrics could not be rendered; the log says why.")
        return Reply(200, content_type, body)


def _probe(word: str, reasons: Sequence[str], remarks: Sequence[str] = ()) -> Reply:
    if reasons:
        return _text(503, "\n".join([f"not {word}", *reasons, *remarks]))
    return _text(200, "\n".join([word, *remarks]))


def _remarks(health: Health, snapshots: Sequence[Snapshot]) -> list[str]:
    paused = {s.name for each in snapshots for s in each.subscriptions if s.is_paused}
    unknown = ", ".join(health.unknown_backlogs)
    return [
        *(f"unwell: {each}" for each in health.unwell),
        *([f"paused: {', '.join(sorted(paused))}"] if paused else []),
        *([f"backlog unknown: {unknown}"] if unknown else []),
    ]


def _text(status: int, text: str) -> Reply:
    return Reply(status, _TEXT, f"{text}\n".encode())
