"""Checking whether topics were deleted, which does not end the streams."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from rele.declaration.subscription import Subscription
from rele.engine.alarm import Alarm, Timer
from rele.engine.times import Times
from rele.resources.deleted_topics import DeletedTopics

logger = logging.getLogger(__name__)

_LONGEST_READ = 10.0
"""Seconds."""


class TopicWatch:
    """Checks once a minute whether the subscriptions still have their topics.

    :class:`~rele.resources.deleted_topics.DeletedTopics` makes the decisions. This class has the
    client, the thread and the log.

    Args:
        client: Google's subscriber client.
        project_id: the Google Cloud project.
        subscriptions: the consumed subscriptions.
        recreates: whether the worker recreates deleted topics and subscriptions.
        times: the durations that it uses; tests shorten them.
        timer: calls functions that are due; by default it has a thread of its own.
    """

    def __init__(
        self,
        client: Any,
        project_id: str | None,
        subscriptions: Iterable[Subscription],
        recreates: bool,
        *,
        times: Times | None = None,
        timer: Timer | None = None,
    ) -> None:
        self._client = client
        self._timer = timer or Alarm("rele-topics")
        topics = {
            client.subscription_path(project_id, subscription.name): subscription.topic
            for subscription in subscriptions
        }
        self._topics = DeletedTopics(topics, recreates=recreates, times=times or Times())
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to check.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        self._timer.start()
        self._expect_check()

    def stop(self) -> None:
        """End the checks. Does not wait for a running check."""
        self._stopping.set()
        self._timer.stop()

    def _expect_check(self) -> None:
        self._timer.call_at(self._topics.next_check(self._timer.now()), self._check_all)

    def _check_all(self) -> None:
        self._expect_check()  # first, because reading may fail with any error
        for path in self._topics.paths:
            if self._stopping.is_set():
                return
            self._check(path)

    def _check(self, path: str) -> None:
        try:
            subscription = self._client.get_subscription(
                request={"subscription": path}, retry=None, timeout=_LONGEST_READ
            )
        except Forbidden:
            line = self._topics.note_forbidden(path)
        except (GoogleAPIError, GoogleAuthError) as error:
            logger.debug("%s could not be read: %s", path, error)
            return
        else:
            found = self._topics.note_topic(path, subscription.topic)
            if found is None or self._stopping.is_set():
                return
            line = found
        logger.log(line.level, line.text, *line.arguments)
