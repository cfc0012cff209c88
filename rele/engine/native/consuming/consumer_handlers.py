"""What runs the handlers of one subscription: threads, tasks or batches in threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rele.engine.native.consuming.async_handlers import AsyncHandlers
from rele.engine.native.consuming.batch_handlers import BatchHandlers
from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.handler_loop import HandlerLoop
from rele.engine.native.consuming.handler_threads import Handlers, HandlerThreads

AnyHandlers = Handlers[Delivery] | AsyncHandlers | BatchHandlers


@dataclass(frozen=True)
class Handling:
    """What a consumer does with its messages. Each is called where the messages are handled."""

    name: str
    """The subscription's, for the log."""
    callback: Any
    handle: Callable[[Delivery], None]
    """Handles one message in a thread."""
    begin: Callable[[Delivery], bool]
    """Whether one is to be handled now, by a task."""
    finish: Callable[[Delivery], object]
    """Notes the end of that."""
    begin_batch: Callable[[list[Delivery]], list[Any]]
    """The messages of a batch that are to be handled now."""
    end_batch: Callable[[list[Delivery]], object]
    idle: Callable[[], None]
    """Notes that there is nothing more to begin with."""
    now: Callable[[], float]
    """The clock."""


def handlers_of(
    options: ConsumerOptions, handling: Handling, threads: HandlerThreads, loop: HandlerLoop | None
) -> AnyHandlers:
    """What runs the handlers as ``options`` say, in ``threads`` or in ``loop``."""
    if options.batch_wait is not None:
        return BatchHandlers(
            options.threads,
            Batching(options.batch_size, options.batch_wait),
            threads,
            begin=handling.begin_batch,
            handle=handling.callback.handle_batch,
            end=handling.end_batch,
            now=handling.now,
        )
    if options.is_async and loop is not None:
        return AsyncHandlers(
            handling.name,
            options.threads,
            loop,
            begin=handling.begin,
            handle=handling.callback.handle_async,
            finish=handling.finish,
            idle=handling.idle,
        )
    return Handlers(options.threads, handling.handle, threads, handling.idle)
