"""What can be a handler: a function that does all its work when it is called, or awaited."""

from __future__ import annotations

import inspect
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

from rele.schema.callables import (
    code_that_does_not_run,
    dotted_path,
    is_coroutine_function,
    layers,
    module_of,
    name_of,
    positional_parameters,
    signature_of,
)

logger = logging.getLogger("rele.subscription")

REMEDY = (
    "Write it without `yield`. What wraps an `async def` must be an `async def` as well and await "
    "it, or run it, as asgiref's `async_to_sync(function)` does."
)

_UNDONE: dict[Any, str] = {
    Coroutine: "a coroutine",
    Awaitable: "an awaitable",
    AsyncGenerator: "an async generator",
    Generator: "a generator",
    # Work is done while somebody iterates over these. Other iterators, such as a cursor of a
    # database or a file, are what is left of work that was done.
    **dict.fromkeys((map, filter, zip, enumerate, itertools.chain), "a lazy iterator"),
    **dict.fromkeys((itertools.starmap, itertools.filterfalse), "a lazy iterator"),
    **dict.fromkeys((itertools.takewhile, itertools.dropwhile), "a lazy iterator"),
}
_ANY_UNDONE = tuple(_UNDONE)


def check_is_run(func: Callable[..., Any]) -> None:
    """Refuse a function whose code does not run when it is called, or awaited.

    Raises:
        RuntimeError: it is a generator function or an async generator function, or an object with
            such a ``__call__``.
    """
    found = code_that_does_not_run(func)
    if found is not None and not is_coroutine_function(func):
        path, kind = found
        raise RuntimeError(
            f"{path} is {kind}: calling it, which is all that Relé does, runs none of its code. "
            f"{REMEDY}"
        )


def check_signature(func: Callable[..., Any], *, takes_batches: bool = False) -> None:
    """Refuse a function that cannot be called as the worker will call it.

    Args:
        func: the handler.
        takes_batches: whether it is called with a list of messages alone, instead of with data and
            attributes.

    Raises:
        RuntimeError: it does not take one positional argument and, unless it takes batches,
            ``**kwargs``.
    """
    signature = signature_of(func)
    if signature is None:
        return
    if takes_batches:
        _check_takes_a_list(func, signature)
        return
    parameters = signature.parameters.values()
    takes_attributes = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    if len(positional_parameters(signature)) != 1 or not takes_attributes:
        raise RuntimeError(
            f"{dotted_path(func)} must take one positional argument, the data, and **kwargs, the "
            f"attributes: declare it as `def {name_of(func)}(data, **kwargs)`, not with "
            f"{signature}."
        )


def _check_takes_a_list(func: Callable[..., Any], signature: inspect.Signature) -> None:
    try:
        signature.bind([])
    except TypeError:
        raise RuntimeError(
            f"{dotted_path(func)} takes batches, so it must take one positional argument, the list "
            f"of messages: declare it as `def {name_of(func)}(messages)`, not with {signature}."
        ) from None


def warn_outside_subs(func: Callable[..., Any]) -> None:
    """Warn of a function that is declared where Relé does not look for subscriptions."""
    if not any("subs" in module_of(layer).split(".") for layer in layers(func)):
        logger.warning(
            "%s is declared outside of a `subs` module, where it will not be found: move it to a "
            "module or package named `subs`.",
            dotted_path(func),
        )


def check_result(result: Any, function: str, subscription: object) -> None:
    """Refuse a result that would have to be awaited or iterated over before any work is done.

    Args:
        result: what ``function`` returned.
        function: who returned it, as the subject of the error, with ``%s`` for the subscription.
        subscription: whose function it is.

    Raises:
        RuntimeError: it is an awaitable, a generator, an async generator, or a lazy iterator such
            as that of ``map``. A coroutine or a generator is closed.
    """
    # Asked of its class: isinstance would make a lazy object compute its content.
    if result is None or not issubclass(type(result), _ANY_UNDONE):
        return
    found = next(name for kind, name in _UNDONE.items() if issubclass(type(result), kind))
    error = RuntimeError(
        f"{function % subscription} returned {found}, which Relé does not run: its work was not "
        f"done. {REMEDY}"
    )
    try:
        if isinstance(result, (Coroutine, Generator)):
            result.close()
    except BaseException as cause:
        raise error from cause
    raise error
