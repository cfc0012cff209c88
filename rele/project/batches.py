"""Whether handlers of batches get batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.schema.problems import Problem


def problems_of_batches(subscriptions: Iterable[Subscription], config: Config) -> Iterator[Problem]:
    """Whether the engine gathers batches for those that take them."""
    batched = [each.path for each in subscriptions if each.batch is not None]
    if batched and config.engine != "rele":
        yield Problem(
            "rele.W011",
            f"RELE['ENGINE'] is {config.engine!r}, which gathers no batches: each list has one "
            f"message for {', '.join(batched)}.",
            "Write RELE['ENGINE'] = 'rele', or leave it out.",
            "ENGINE",
        )
