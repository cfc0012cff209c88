"""What a project declares to receive messages, and what runs for each of them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic

from rele.dead_letter_policy import DeadLetterPolicy
from rele.declaration.handlers import check_is_run, check_result, check_signature, warn_outside_subs
from rele.declaration.options import Duration, SubscriptionOptions
from rele.handling.current import note_skip
from rele.retry_policy import RetryPolicy
from rele.schema.callables import (
    POSITIONAL,
    code_that_does_not_run,
    dotted_path,
    layers,
    name_of,
    names_filled_by_position,
    plain_function,
)

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    # The defaults are for a bare `Subscription`, which says nothing about its handler.
    Parameters = ParamSpec("Parameters", default=...)
    Result = TypeVar("Result", default=Any)
else:
    from typing import ParamSpec, TypeVar

    Parameters = ParamSpec("Parameters")
    Result = TypeVar("Result")

# Those that a decorator binds when it is called: type checkers want them without defaults.
P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

Filter = Callable[..., Any]
Filters = Filter | Iterable[Filter] | None


class Subscription(Generic[Parameters, Result]):
    """A function and the topic whose messages it handles.

    Its type has the parameters and the result of the function: a type checker sees what it can be
    called with.

    In addition to the decorator :func:`sub`, this class can be subclassed::

        class DoSomethingSub(Subscription):
            topic = "photo-uploaded"

            def __init__(self):
                self._func = self.callback_func
                super().__init__(self._func, self.topic)

            def callback_func(self, data, **kwargs):
                print(data["id"])

    Args:
        func: called as ``func(data, **attributes)``.
        topic: the topic's id, without the project.
        prefix, suffix: parts of the subscription's name, ``prefix-topic-suffix``.
        filter_by: one or several callables over the attributes; where one of them is false, the
            message is acknowledged and not handled. A callable that takes a positional argument
            gets the attributes as a dict, any other gets them as keyword arguments.
        backend_filter_by: a filter that Pub/Sub applies (its filter syntax); fixed at creation.
        retry_policy: when Pub/Sub delivers a failed message again.

    The rest is stated in Pub/Sub's own terms, by keyword (durations are seconds or timedeltas).
    What is ``None`` is not stated: ``RELE["SUBSCRIPTION_DEFAULTS"]`` counts, else what the
    subscription has on the server.

    Args:
        ack_deadline: seconds (10 to 600) after which Pub/Sub delivers a message again that nobody
            extends.
        dead_letter_policy: where messages go that were delivered too often.
        enable_message_ordering: deliver the messages of one ordering key in order; fixed at
            creation.
        enable_exactly_once_delivery: deliver no message again whose acknowledgement succeeded.
        message_retention_duration: for how long unacknowledged messages are kept, 10 minutes to
            31 days.
        retain_acked_messages: keep the acknowledged ones, too, so that one can seek back to them.
        expiration_policy: after how long without use the subscription is deleted, from one day,
            or ``"never"``.
        labels: of the subscription, for the bill and for filters; others that it has stay.
        threads: how many messages are handled at a time.
        max_messages: how many a process holds at most, begun or not.
        max_bytes: how many bytes of messages it holds at most.
        max_lease_duration: for how long it keeps one, handled or not, until Pub/Sub may deliver
            it again.

    Raises:
        RuntimeError: a call of the function only makes a coroutine or a generator.
        TypeError: the topic is no string.
        ValueError: a value is not of that kind, or out of range.
    """

    def __init__(
        self,
        func: Callable[Parameters, Result],
        topic: str,
        prefix: str | None = "",
        suffix: str | None = "",
        filter_by: Filters = None,
        backend_filter_by: str | None = None,
        retry_policy: RetryPolicy | None = None,
        *,
        ack_deadline: int | None = None,
        dead_letter_policy: DeadLetterPolicy | None = None,
        enable_message_ordering: bool | None = None,
        enable_exactly_once_delivery: bool | None = None,
        message_retention_duration: Duration | None = None,
        retain_acked_messages: bool | None = None,
        expiration_policy: Duration | str | None = None,
        labels: Mapping[str, str] | None = None,
        threads: int | None = None,
        max_messages: int | None = None,
        max_bytes: int | None = None,
        max_lease_duration: Duration | None = None,
    ) -> None:
        check_is_run(func)
        check_is_run(self)  # a subclass may have a __call__ of its own
        _check_topic(topic)
        self._func: Callable[..., Result] = func
        self.topic = topic
        self._prefix = prefix
        self._has_own_prefix = bool(prefix)
        self._suffix = suffix
        self._use_filters(filter_by)
        self._has_own_filters = bool(self._filters)
        self.backend_filter_by = backend_filter_by
        self.retry_policy = retry_policy
        self._own_names = names_filled_by_position(func)
        self._options = SubscriptionOptions(
            ack_deadline=ack_deadline,
            dead_letter_policy=dead_letter_policy,
            enable_message_ordering=enable_message_ordering,
            enable_exactly_once_delivery=enable_exactly_once_delivery,
            message_retention_duration=message_retention_duration,
            retain_acked_messages=retain_acked_messages,
            expiration_policy=expiration_policy,
            labels=labels,
            threads=threads,
            max_messages=max_messages,
            max_bytes=max_bytes,
            max_lease_duration=max_lease_duration,
        )

    @property
    def name(self) -> str:
        """The subscription's id, without the project: prefix, topic and suffix by hyphens."""
        return "-".join(part for part in (self._prefix, self.topic, self._suffix) if part)

    @property
    def function_name(self) -> str:
        """The function's own name; that of its class where it has none."""
        return name_of(self._func)

    @property
    def path(self) -> str:
        """Where the function is defined, as a dotted path."""
        return dotted_path(self._func)

    @property
    def options(self) -> SubscriptionOptions:
        """What the declaration states beside topic, name and filters."""
        return replace(
            self._options,
            backend_filter_by=self.backend_filter_by or None,
            retry_policy=self.retry_policy,
        )

    def has_function_of(self, other: Subscription) -> bool:
        """Whether both call the same function: two instances of a class do."""
        return plain_function(self._func) is plain_function(other._func)

    def calls(self, function: Callable[..., Any]) -> bool:
        """Whether ``function`` is what it calls, also below decorators with functools.wraps."""
        return any(layer is function for layer in layers(self._func))

    @property
    def prefix(self) -> str | None:
        """What the name begins with."""
        return self._prefix

    def set_prefix(self, prefix: str | None) -> None:
        """Begin the name with ``prefix``, unless the declaration gave one of its own."""
        if not self._has_own_prefix:
            self._prefix = prefix

    @property
    def filter_by(self) -> tuple[Filter, ...]:
        """The filters, each a callable."""
        return self._filters

    def set_filters(self, filter_by: Filters) -> None:
        """Filter by ``filter_by``, unless the declaration gave filters of its own."""
        if not self._has_own_filters:
            self._use_filters(filter_by)

    def _use_filters(self, filter_by: Filters) -> None:
        self._filters = _read_filters(filter_by)
        self._predicates = tuple(map(_over_dict, self._filters))

    if TYPE_CHECKING:

        def __call__(
            self, *args: Parameters.args, **attributes: Parameters.kwargs
        ) -> Result | None: ...

    else:

        def __call__(self, data: Any, /, **attributes: Any) -> Any:
            """Run the filters and then the function; return the function's result.

            Returns ``None`` where a filter turns the message away.
            """
            return self._filter_and_handle(data, attributes)

    def _filter_and_handle(self, data: Any, attributes: dict[str, Any]) -> Result | None:
        self._make_arguments_of(attributes)
        for predicate in self._predicates:
            if not self._passes(predicate, attributes):
                note_skip(self, "filtered")
                return None
        return self._func(data, **attributes)

    def _passes(self, predicate: Filter, attributes: dict[str, Any]) -> bool:
        verdict = predicate(attributes)
        check_result(verdict, "A filter of %s", self)  # a coroutine is true, whatever it stands for
        return bool(verdict)

    def _make_arguments_of(self, attributes: dict[str, Any]) -> None:
        if "published_at" in attributes:
            attributes["published_at"] = _as_timestamp(attributes["published_at"], self)
        for name in self._own_names & attributes.keys():
            logger.warning(
                "The message for %s has an attribute named %r, as the handler's own parameter is: "
                "it is left out of the call.",
                self,
                name,
            )
            del attributes[name]

    def __str__(self) -> str:
        return f"{self.name} - {self.function_name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def sub(
    topic: str,
    prefix: str | None = None,
    suffix: str | None = None,
    filter_by: Filters = None,
    backend_filter_by: str | None = None,
    retry_policy: RetryPolicy | None = None,
    *,
    ack_deadline: int | None = None,
    dead_letter_policy: DeadLetterPolicy | None = None,
    enable_message_ordering: bool | None = None,
    enable_exactly_once_delivery: bool | None = None,
    message_retention_duration: Duration | None = None,
    retain_acked_messages: bool | None = None,
    expiration_policy: Duration | str | None = None,
    labels: Mapping[str, str] | None = None,
    threads: int | None = None,
    max_messages: int | None = None,
    max_bytes: int | None = None,
    max_lease_duration: Duration | None = None,
) -> Callable[[Callable[P, R]], Subscription[P, R]]:
    """Declare that the decorated function handles the messages of ``topic``::

        @sub(topic="photo-uploaded", suffix="thumbnails")
        def make_thumbnail(data, **kwargs):
            ...

    The arguments are those of :class:`Subscription`. The function takes one positional argument,
    the data, and ``**kwargs``, the message's attributes.

    Raises:
        RuntimeError: the function cannot be called so, or a call only makes a coroutine or a
            generator.
        TypeError: the topic is no string, as where ``@sub`` is written without parentheses.
        ValueError: an argument is not of its kind, or out of range.
    """

    if callable(topic):
        raise TypeError(
            f'@sub over {dotted_path(topic)} names no topic: write @sub(topic="…") with the name '
            "of the topic whose messages it handles."
        )
    _check_topic(topic)

    def declare(func: Callable[P, R]) -> Subscription[P, R]:
        check_is_run(func)
        check_signature(func)
        warn_outside_subs(func)
        return Subscription(
            func,
            topic,
            prefix=prefix,
            suffix=suffix,
            filter_by=filter_by,
            backend_filter_by=backend_filter_by,
            retry_policy=retry_policy,
            ack_deadline=ack_deadline,
            dead_letter_policy=dead_letter_policy,
            enable_message_ordering=enable_message_ordering,
            enable_exactly_once_delivery=enable_exactly_once_delivery,
            message_retention_duration=message_retention_duration,
            retain_acked_messages=retain_acked_messages,
            expiration_policy=expiration_policy,
            labels=labels,
            threads=threads,
            max_messages=max_messages,
            max_bytes=max_bytes,
            max_lease_duration=max_lease_duration,
        )

    return declare


def _check_topic(topic: Any) -> None:
    if not isinstance(topic, str):
        raise TypeError(f"topic must be the name of a topic, a string, not {topic!r}.")


def _read_filters(filter_by: Filters) -> tuple[Filter, ...]:
    """The filters as a tuple, so that an iterator is read once and kept.

    Raises:
        ValueError: one of them cannot be called, or a call only makes a coroutine or a generator.
    """
    if filter_by is None:
        return ()
    try:
        filters = (filter_by,) if callable(filter_by) else tuple(filter_by)
    except TypeError as error:
        raise ValueError(
            f"filter_by must be a callable or an iterable of callables, not {filter_by!r}."
        ) from error
    for function in filters:
        if not callable(function):
            raise ValueError(
                f"filter_by must be a callable or an iterable of callables, not {function!r}."
            )
        found = code_that_does_not_run(function)
        if found is not None:
            path, kind = found
            raise ValueError(f"filter_by must answer when it is called, but {path} is {kind}.")
    return filters


def _over_dict(function: Filter) -> Filter:
    """The filter as a function of the attributes' dict, whichever way it takes them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # a built-in without signature
        return function
    if any(p.kind in (*POSITIONAL, inspect.Parameter.VAR_POSITIONAL) for p in parameters):
        return function
    own_names = names_filled_by_position(function)
    return lambda attributes: function(
        **{name: value for name, value in attributes.items() if name not in own_names}
    )


def _as_timestamp(published_at: Any, subscription: Subscription) -> Any:
    try:
        return float(published_at)
    except (ValueError, TypeError):
        logger.warning(
            "The attribute published_at of a message for %s is no number: %r",
            subscription,
            published_at,
        )
        return published_at
