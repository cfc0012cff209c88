"""The subscription that a project declares: its name, its filters, and the function to call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Generic

from rele.declaration.filters import Filter, Filters, read_filters, taking_a_dict
from rele.declaration.handlers import check_is_run, check_result
from rele.declaration.options import SubscriptionOptions
from rele.declaration.signatures import check_names, shows_options
from rele.declaration.skips import note_skip
from rele.retry_policy import RetryPolicy
from rele.schema.callables import (
    dotted_path,
    is_coroutine_function,
    layers,
    name_of,
    names_filled_by_position,
    plain_function,
)

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar, Unpack

    from rele.declaration.batch import Batch
    from rele.declaration.options import KeywordOptions

    # The defaults are for a bare `Subscription`, which says nothing about its handler.
    Parameters = ParamSpec("Parameters", default=...)
    Result = TypeVar("Result", default=Any)
else:
    from typing import ParamSpec, TypeVar

    Parameters = ParamSpec("Parameters")
    Result = TypeVar("Result")

# The name of the public module, which log configurations rely on.
logger = logging.getLogger("rele.subscription")


class Subscription(Generic[Parameters, Result]):
    """A function and the topic whose messages it handles.

    Its type has the parameters and the result of the function, so that type checkers know how it
    can be called.

    Besides being made by the decorator ``sub``, it can be subclassed::

        class DoSomethingSub(Subscription):
            topic = "photo-uploaded"

            def __init__(self):
                self._func = self.callback_func
                super().__init__(self._func, self.topic)

            def callback_func(self, data, **kwargs):
                print(data["id"])

    Args:
        func: called as ``func(data, **attributes)``; an ``async def`` is awaited.
        topic: the topic's id, without the project.
        prefix, suffix: parts of the subscription's name, ``prefix-topic-suffix``.
        filter_by: one or several callables over the attributes; where one of them is false, the
            message is acknowledged and not handled. A callable that takes a positional argument
            gets the attributes as a dict, any other gets them as keyword arguments.
        backend_filter_by, retry_policy, options: stated in Pub/Sub's own terms, and described at
            ``__init__``. Durations are seconds or timedeltas. Where an option is ``None``,
            ``RELE["SUBSCRIPTION_DEFAULTS"]`` counts; what is not stated there either is left as it
            is on the server.

    Raises:
        RuntimeError: the function is a generator function.
        TypeError: the topic is not a string, or there is no such option.
        ValueError: a value is not of the right kind, or out of range.
    """

    @shows_options
    def __init__(
        self,
        func: Callable[Parameters, Result],
        topic: str,
        prefix: str | None = "",
        suffix: str | None = "",
        filter_by: Filters = None,
        backend_filter_by: str | None = None,
        retry_policy: RetryPolicy | None = None,
        **options: Unpack[KeywordOptions],
    ) -> None:
        """Declare that ``func`` handles the messages of ``topic``."""
        check_names(Subscription.__init__, options)
        check_is_run(func)
        check_is_run(self)  # a subclass may have a __call__ of its own
        check_topic(topic)
        self._func: Callable[..., Result] = func
        self._awaits = is_coroutine_function(func)
        self.topic = topic
        self._prefix = prefix
        self._has_own_prefix = bool(prefix)
        self._suffix = suffix
        self._use_filters(filter_by)
        self._has_own_filters = bool(self._filters)
        self.backend_filter_by = backend_filter_by
        self.retry_policy = retry_policy
        self._own_names = names_filled_by_position(func)
        self._newer_options = options
        self.batch: Batch | None = options.get("batch")
        """How messages are gathered for the function; ``None`` if each is handled alone."""
        _ = self.options  # refuses wrong values where they are declared

    @property
    def is_async(self) -> bool:
        """Whether a call makes a coroutine: an ``async def`` handles the messages."""
        return self._awaits or is_coroutine_function(self)

    @property
    def is_initialised(self) -> bool:
        """Whether ``__init__`` has run, which the ``__init__`` of a subclass may forget to call."""
        return "_newer_options" in vars(self)

    @property
    def name(self) -> str:
        """The subscription's id, without the project: prefix, topic and suffix by hyphens."""
        return _joined(self._prefix, self.topic, self._suffix)

    @cached_property
    def function_name(self) -> str:
        """The function's name, or that of its class where it has none."""
        return name_of(self._func)

    @property
    def path(self) -> str:
        """Where the function is defined, as a dotted path."""
        return dotted_path(self._func)

    @property
    def options(self) -> SubscriptionOptions:
        """The options that the declaration states."""
        return SubscriptionOptions(
            backend_filter_by=self.backend_filter_by or None,
            retry_policy=self.retry_policy,
            **self._newer_options,
        )

    def has_function_of(self, other: Subscription) -> bool:
        """Whether both call the same function, as two instances of one class do."""
        return plain_function(self._func) is plain_function(other._func)

    def calls(self, function: Callable[..., Any]) -> bool:
        """Whether ``function`` is what it calls, directly or wrapped by functools.wraps."""
        return any(layer is function for layer in layers(self._func))

    @property
    def prefix(self) -> str | None:
        """What the name begins with."""
        return self._prefix

    def set_prefix(self, prefix: str | None) -> None:
        """Begin the name with ``prefix``, unless the declaration states a prefix."""
        if not self._has_own_prefix:
            self._prefix = prefix

    @property
    def filter_by(self) -> tuple[Filter, ...]:
        """The filters, each a callable."""
        return self._filters

    def set_filters(self, filter_by: Filters) -> None:
        """Filter by ``filter_by``, unless the declaration states filters."""
        if not self._has_own_filters:
            self._use_filters(filter_by)

    def _use_filters(self, filter_by: Filters) -> None:
        self._filters = read_filters(filter_by)
        self._predicates = tuple(map(taking_a_dict, self._filters))

    if TYPE_CHECKING:

        def __call__(
            self, *args: Parameters.args, **attributes: Parameters.kwargs
        ) -> Result | None: ...

    else:

        def __call__(self, data: Any, /, **attributes: Any) -> Any:
            """Run the filters and then the function; return the function's result.

            Returns ``None`` where a filter rejects the message. Where the function is an
            ``async def``, it returns a coroutine, which does all that.
            """
            return self._filter_and_call(data, attributes)

    def _filter_and_call(self, data: Any, attributes: dict[str, Any]) -> Any:
        if self.batch is not None:
            return self._func(data)
        if self._awaits:
            return self._filter_and_await(data, attributes)
        return self._func(data, **attributes) if self._prepare(attributes) else None

    async def _filter_and_await(self, data: Any, attributes: dict[str, Any]) -> Any:
        if self._prepare(attributes):
            return await self._func(data, **attributes)  # type: ignore[misc]  # an `async def`
        return None

    def _prepare(self, attributes: dict[str, Any]) -> bool:
        """Make arguments of ``attributes``, in place; return whether all filters let them pass."""
        if "published_at" in attributes:
            attributes["published_at"] = _as_timestamp(attributes["published_at"], self)
        if not self._own_names.isdisjoint(attributes):
            self._remove_own_names(attributes)
        for predicate in self._predicates:
            if not self._passes(predicate, attributes):
                note_skip(self, "filtered")
                return False
        return True

    def accepts(self, attributes: Mapping[str, str]) -> bool:
        """Whether all filters let a message with these attributes pass."""
        arguments: dict[str, Any] = dict(attributes)
        if "published_at" in arguments:
            arguments["published_at"] = _as_timestamp(arguments["published_at"], self)
        return all(self._passes(predicate, arguments) for predicate in self._predicates)

    def handle_batch(self, messages: list[Any]) -> Any:
        """Run the function, without the filters, with the messages of a batch."""
        return self._func(messages)

    def _passes(self, predicate: Filter, attributes: dict[str, Any]) -> bool:
        verdict = predicate(attributes)
        check_result(verdict, "A filter of %s", self)  # a coroutine is true, whatever its result
        return bool(verdict)

    def _remove_own_names(self, attributes: dict[str, Any]) -> None:
        for name in self._own_names & attributes.keys():
            logger.warning(
                "A message for %s has an attribute named %r, like a parameter that is filled by "
                "position: the handler is called without this attribute.",
                self,
                name,
            )
            del attributes[name]

    def __str__(self) -> str:
        return f"{self.name} - {self.function_name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


@lru_cache(maxsize=1024)  # it is asked for with each message that is logged
def _joined(*parts: str | None) -> str:
    return "-".join(filter(None, parts))


_CALL = Subscription.__call__


def call(subscription: Subscription, data: Any, attributes: Mapping[str, str]) -> Any:
    """As ``subscription(data, **attributes)``, which takes longer."""
    arguments: dict[str, Any] = dict(attributes)
    if type(subscription).__call__ is _CALL:
        return subscription._filter_and_call(data, arguments)
    return subscription(data, **arguments)  # a subclass has its own


def check_topic(topic: Any) -> None:
    """Refuse what cannot be the name of a topic.

    Raises:
        TypeError: it is not a string.
    """
    if not isinstance(topic, str):
        raise TypeError(f"topic must be the name of a topic, a string, not {topic!r}.")


def _as_timestamp(published_at: Any, subscription: Subscription) -> Any:
    try:
        return float(published_at)
    except (ValueError, TypeError):
        logger.warning(
            "The attribute published_at of a message for %s is not a number: %r",
            subscription,
            published_at,
        )
        return published_at
