"""A middleware that notes the outcomes of publishing, for programs that tests start."""

from __future__ import annotations

from typing import Any

from rele.middleware import BaseMiddleware

NOTING = [f"{__name__}.NotedOutcomes"]
"""The setting MIDDLEWARE that has outcomes noted."""

succeeded: list[Any] = []
"""The data of each message that was published, in the order of the hooks."""
failed: list[tuple[Any, BaseException]] = []
"""The data and the error of each message that was not, in the order of the hooks."""


class NotedOutcomes(BaseMiddleware):
    """Appends to the lists of this module."""

    def post_publish_success(self, topic: str, data: Any, attrs: dict[str, str]) -> None:
        succeeded.append(data)

    def post_publish_failure(self, topic: str, exception: BaseException, message: Any) -> None:
        failed.append((message, exception))
