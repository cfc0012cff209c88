"""Decides which topics are checked, and what is logged of deleted ones. No clock, no thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from rele.engine.outage_reports import Line
from rele.engine.times import Times

DELETED_TOPIC = "_deleted-topic_"
"""The topic that Pub/Sub shows for a subscription whose topic was deleted."""


class DeletedTopics:
    """Decides which subscriptions are checked, when, and what is logged.

    Args:
        topics: the paths of the topics by the paths of their subscriptions.
        recreates: whether the worker recreates deleted topics and subscriptions.
        times: the durations that it uses; tests shorten them.
    """

    def __init__(self, topics: Mapping[str, str], *, recreates: bool, times: Times) -> None:
        self._topics = dict(topics)
        self._recreates = recreates
        self._times = times

    @property
    def paths(self) -> list[str]:
        """The paths of the subscriptions to read."""
        return list(self._topics)

    def next_check(self, now: float) -> float:
        """When to read the subscriptions next."""
        return now + self._times.topics_every

    def note_topic(self, path: str, topic: str) -> Line | None:
        """Note the topic that Pub/Sub shows; return the line to log, if any."""
        if topic != DELETED_TOPIC:
            return None
        return Line(
            logging.ERROR,
            "The topic %s was deleted, so nothing that is published arrives at %s any more, "
            "even if the topic is created again. Delete the subscription (gcloud pubsub "
            "subscriptions delete %s)%s",
            (
                self._topics[path],
                path,
                path,
                ": the worker then creates both." if self._recreates else ", and create both.",
            ),
        )

    def note_forbidden(self, path: str) -> Line:
        """Note that the credentials may not read a subscription, which is not read any more."""
        del self._topics[path]
        text = "The credentials may not read %s, so its topic is not watched."
        return Line(logging.DEBUG, text, (path,))
