"""What this process has published and Pub/Sub has not accepted yet."""

from __future__ import annotations

from rele.runtime.in_use import IN_USE
from rele.status.snapshot import Contribution, Figure


def outstanding_publishes() -> Contribution:
    """The figures of the publisher in use; 0 where nothing was published."""
    in_use = IN_USE.current_publisher()
    messages, size = (0, 0) if in_use is None else in_use.publisher.outstanding
    figures = [
        Figure(
            "rele_publisher_outstanding_messages",
            messages,
            "Published messages that Pub/Sub has not accepted yet.",
        )
    ]
    if size is not None:  # Google's client does not say
        figures.append(
            Figure(
                "rele_publisher_outstanding_bytes",
                size,
                "Bytes of the published messages that Pub/Sub has not accepted yet.",
            )
        )
    return Contribution(figures=tuple(figures))
