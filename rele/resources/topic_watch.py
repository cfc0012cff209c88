"""Noticing that the topic of a subscription was deleted, which ends no stream."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from rele.declaration.subscription import Subscription

logger = logging.getLogger(__name__)

LOOK_EVERY = 60.0
"""Seconds between two looks at the subscriptions."""

_LONGEST_LOOK = 10.0
"""Seconds."""

_DELETED_TOPIC = "_deleted-topic_"
"""What Pub/Sub shows as the topic of a subscription whose topic was deleted."""


class TopicWatch:
    """Looks once a minute whether the subscriptions still have their topics.

    Args:
        client: Google's subscriber client.
        project_id: the Google Cloud project.
        subscriptions: those that are consumed.
        makes_again: whether the worker makes again what was deleted.
    """

    def __init__(
        self,
        client: Any,
        project_id: str | None,
        subscriptions: Iterable[Subscription],
        makes_again: bool,
    ) -> None:
        self._client = client
        self._topics = {
            client.subscription_path(project_id, subscription.name): subscription.topic
            for subscription in subscriptions
        }
        self._makes_again = makes_again
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        threading.Thread(target=self._run, name="rele-topics", daemon=True).start()

    def stop(self) -> None:
        """End; does not wait for a look that is under way."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            for path in list(self._topics):
                if self._stopping.is_set():
                    return
                self._look(path)

    def _look(self, path: str) -> None:
        try:
            subscription = self._client.get_subscription(
                request={"subscription": path}, retry=None, timeout=_LONGEST_LOOK
            )
        except Forbidden:
            logger.debug("The credentials may not read %s, so its topic is not watched.", path)
            del self._topics[path]
        except (GoogleAPIError, GoogleAuthError) as error:
            logger.debug("%s could not be read: %s", path, error)
        else:
            if subscription.topic == _DELETED_TOPIC and not self._stopping.is_set():
                self._report(path)

    def _report(self, path: str) -> None:
        logger.error(
            "The topic %s was deleted, so nothing that is published arrives at %s any more, "
            "even if the topic is made again. Delete the subscription (gcloud pubsub "
            "subscriptions delete %s)%s",
            self._topics[path],
            path,
            path,
            ": the worker then makes both again."
            if self._makes_again
            else ", and make both again.",
        )
