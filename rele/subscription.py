"""What a project declares to receive messages, and what runs for each of them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rele.callback import Callback
from rele.dead_letter_policy import DeadLetterPolicy
from rele.retry_policy import RetryPolicy
from rele.subscription_options import Duration, SubscriptionOptions

__all__ = ["Callback", "Filter", "Filters", "Subscription", "sub"]

logger = logging.getLogger(__name__)

Filter = Callable[..., Any]
Filters = Filter | Iterable[Filter] | None


class Subscription:
    """A function and the topic whose messages it handles.

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
        ValueError: a value is not of that kind, or out of range.
    """

    def __init__(
        self,
        func: Callable[..., Any],
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
        self._func = func
        self.topic = topic
        self._prefix = prefix
        self._has_own_prefix = bool(prefix)
        self._suffix = suffix
        self._use_filters(filter_by)
        self._has_own_filters = bool(self._filters)
        self.backend_filter_by = backend_filter_by
        self.retry_policy = retry_policy
        self._own_names = _names_of_own_parameters(func)
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
    def path(self) -> str:
        """Where the function is defined, as a dotted path."""
        return _dotted_path(self._func)

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
        return _plain_function(self._func) is _plain_function(other._func)

    def calls(self, function: Callable[..., Any]) -> bool:
        """Whether ``function`` is what it calls, also below decorators with functools.wraps."""
        called = _plain_function(self._func)
        return inspect.unwrap(called, stop=lambda each: each is function) is function

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

    def __call__(self, data: Any, /, **attributes: Any) -> Any:
        """Run the filters and then the function; return the function's result.

        Returns ``None`` where a filter turns the message away.
        """
        attributes = self._arguments_from(attributes)
        if not all(lets_pass(attributes) for lets_pass in self._predicates):
            return None
        return self._func(data, **attributes)

    def _arguments_from(self, attributes: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(attributes)
        if "published_at" in arguments:
            arguments["published_at"] = _as_timestamp(arguments["published_at"], self)
        for name in self._own_names & arguments.keys():
            logger.warning(
                "The message for %s has an attribute named %r, as the handler's own parameter is: "
                "it is left out of the call.",
                self,
                name,
            )
            del arguments[name]
        return arguments

    def __str__(self) -> str:
        return f"{self.name} - {getattr(self._func, '__name__', type(self._func).__name__)}"

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
) -> Callable[[Callable[..., Any]], Subscription]:
    """Declare that the decorated function handles the messages of ``topic``::

        @sub(topic="photo-uploaded", suffix="thumbnails")
        def make_thumbnail(data, **kwargs):
            ...

    The arguments are those of :class:`Subscription`. The function takes one positional argument,
    the data, and ``**kwargs``, the message's attributes.

    Raises:
        RuntimeError: the function cannot be called so.
        ValueError: an argument is not of its kind, or out of range.
    """

    def declare(func: Callable[..., Any]) -> Subscription:
        _check_handler(func)
        _warn_outside_subs(func)
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


def _plain_function(func: Callable[..., Any]) -> Any:
    """The function itself, also of a method."""
    return getattr(func, "__func__", func)


def _dotted_path(func: Callable[..., Any]) -> str:
    return f"{func.__module__}.{getattr(func, '__qualname__', type(func).__qualname__)}"


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _positional_parameters(
    func: Callable[..., Any], *, follow_wrapped: bool = True
) -> list[inspect.Parameter]:
    parameters = inspect.signature(func, follow_wrapped=follow_wrapped).parameters.values()
    return [parameter for parameter in parameters if parameter.kind in _POSITIONAL]


def _check_handler(func: Callable[..., Any]) -> None:
    name = _dotted_path(func)
    if inspect.iscoroutinefunction(func):
        raise RuntimeError(
            f"{name} is an `async def`: Relé would acknowledge its messages without running it. "
            "Declare it with `def`."
        )
    parameters = inspect.signature(func).parameters.values()
    takes_attributes = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    if len(_positional_parameters(func)) != 1 or not takes_attributes:
        raise RuntimeError(
            f"{name} must take one positional argument, the data, and **kwargs, the attributes: "
            f"declare it as `def {getattr(func, '__name__', 'handler')}(data, **kwargs)`, not "
            f"with {inspect.signature(func)}."
        )


def _warn_outside_subs(func: Callable[..., Any]) -> None:
    if "subs" not in func.__module__.split("."):
        logger.warning(
            "%s is declared outside of a `subs` module, where it will not be found: move it to a "
            "module or package named `subs`.",
            _dotted_path(func),
        )


def _names_of_own_parameters(func: Callable[..., Any], filled: int = 1) -> frozenset[str]:
    """The names that an attribute must not have, since the call fills those parameters by position.

    They are the data's, that of a method's object, and what a ``partial`` holds: of a wrapped
    function at each of its levels, as the attributes go through all of them.
    """
    if isinstance(func, partial):
        return _names_of_own_parameters(func.func, filled + len(func.args))
    if inspect.ismethod(func):
        return _names_of_own_parameters(func.__func__, filled + 1)
    wrapped = getattr(func, "__wrapped__", None)
    inner: frozenset[str] = frozenset()
    if callable(wrapped):
        inner = _names_of_own_parameters(wrapped, filled)
    if not inspect.isroutine(func) and not inspect.isclass(func):
        return inner | _names_of_own_parameters(type(func).__call__, filled + 1)
    return inner | _names_of_first_parameters(func, filled)


def _names_of_first_parameters(func: Callable[..., Any], number: int) -> frozenset[str]:
    try:
        parameters = _positional_parameters(func, follow_wrapped=False)[:number]
    except (ValueError, TypeError):  # a built-in without signature
        return frozenset()
    return frozenset(p.name for p in parameters if p.kind is not inspect.Parameter.POSITIONAL_ONLY)


def _read_filters(filter_by: Filters) -> tuple[Filter, ...]:
    """The filters as a tuple, so that an iterator is read once and kept.

    Raises:
        ValueError: one of them cannot be called.
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
    return filters


def _over_dict(function: Filter) -> Filter:
    """The filter as a function of the attributes' dict, whichever way it takes them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # a built-in without signature
        return function
    if any(p.kind in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL) for p in parameters):
        return function
    own_names = _names_of_own_parameters(function)
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
