"""The decorator that declares a subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rele.declaration.filters import Filters
from rele.declaration.handlers import check_is_run, check_signature, warn_outside_subs
from rele.declaration.signatures import check_names, shows_options
from rele.declaration.subscription import Subscription, check_topic
from rele.retry_policy import RetryPolicy
from rele.schema.callables import dotted_path

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rele.declaration.options import KeywordOptions

P = ParamSpec("P")
R = TypeVar("R")


@shows_options
def sub(
    topic: str,
    prefix: str | None = None,
    suffix: str | None = None,
    filter_by: Filters = None,
    backend_filter_by: str | None = None,
    retry_policy: RetryPolicy | None = None,
    **options: Unpack[KeywordOptions],
) -> Callable[[Callable[P, R]], Subscription[P, R]]:
    """Declare that the decorated function handles the messages of ``topic``::

        @sub(topic="photo-uploaded", suffix="thumbnails")
        def make_thumbnail(data, **kwargs):
            ...

    The arguments are the same as for ``Subscription``. The function takes one positional argument,
    the data, and ``**kwargs``, the message's attributes; with the option ``batch`` it takes a list
    of messages alone.

    Raises:
        RuntimeError: the function has other parameters.
        TypeError: ``@sub`` has no topic.
        Exception: any error that ``Subscription`` raises for its arguments.
    """
    check_names(sub, options)
    if callable(topic):
        raise TypeError(_no_topic(topic))
    check_topic(topic)

    def declare(func: Callable[P, R]) -> Subscription[P, R]:
        check_is_run(func)
        check_signature(func, takes_batches=options.get("batch") is not None)
        warn_outside_subs(func)
        return Subscription(
            func, topic, prefix, suffix, filter_by, backend_filter_by, retry_policy, **options
        )

    return declare


def _no_topic(function: Callable[..., object]) -> str:
    return (
        f'@sub over {dotted_path(function)} names no topic: write @sub(topic="…") with the name of '
        "the topic whose messages it handles."
    )
