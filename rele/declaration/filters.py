"""The filters of a subscription, which decide from a message's attributes whether it is handled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from rele.schema.callables import POSITIONAL, code_that_does_not_run, names_filled_by_position

Filter = Callable[..., Any]
Filters = Filter | Iterable[Filter] | None


def read_filters(filter_by: Filters) -> tuple[Filter, ...]:
    """The filters as a tuple; an iterator is read only once.

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
            raise ValueError(
                f"filter_by must return its answer when it is called, but {path} is {kind}."
            )
    return filters


def taking_a_dict(function: Filter) -> Filter:
    """The filter as a function of the attributes' dict.

    One that takes a positional argument gets the dict, any other keyword arguments.
    """
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
