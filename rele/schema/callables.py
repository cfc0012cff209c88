"""What a callable is made of: what it wraps, where that is defined, and what it takes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_KINDS = {
    inspect.CO_COROUTINE: "an `async def`",
    inspect.CO_ASYNC_GENERATOR: "an async generator function",
    inspect.CO_GENERATOR: "a generator function",
}


def layers(func: Any) -> Iterator[Any]:
    """The callable, then what it wraps, down to the function that is behind it all."""
    seen: list[Any] = []
    while callable(func) and not any(func is each for each in seen):
        seen.append(func)
        yield func
        func = _next_layer(func)


def _next_layer(func: Any) -> Any:
    if isinstance(func, partial):
        return func.func
    if inspect.ismethod(func):
        return func.__func__
    return _wrapped(func)


def _wrapped(func: Any) -> Any:
    """What a wrapper says that it wraps, as functools.wraps and asgiref's async_to_sync do it."""
    return getattr(func, "__wrapped__", None) or _awaited(func)


def _awaited(func: Any) -> Any:
    """What asgiref's AsyncToSync runs. Where nobody has imported asgiref, nothing is one."""
    asgiref = sys.modules.get("asgiref.sync")
    return func.awaitable if asgiref and isinstance(func, asgiref.AsyncToSync) else None


def plain_function(func: Any) -> Any:
    """What two callables share that are made of one function: two methods of one class do."""
    if inspect.ismethod(func):
        return func.__func__
    awaited = _awaited(func)
    return func if awaited is None else plain_function(awaited)


def dotted_path(func: Any) -> str:
    """Where the function behind ``func`` is defined."""
    *_, innermost = layers(func)
    named = innermost if hasattr(innermost, "__qualname__") else type(innermost)
    return f"{module_of(innermost)}.{named.__qualname__}"


def module_of(func: Any) -> str:
    return getattr(func, "__module__", None) or type(func).__module__


def name_of(func: Any) -> str:
    """The name of the function; of an object that is called that of its class."""
    names = (getattr(layer, "__name__", None) for layer in layers(func))
    return next(filter(None, names), type(func).__name__)


def code_that_does_not_run(func: Any) -> tuple[str, str] | None:
    """Where a call of ``func`` only makes a coroutine or a generator: its path, and what it is.

    What ``func`` wraps says nothing about a wrapper, which may well run it.
    """
    called = _without_bound_arguments(func)
    method = _without_bound_arguments(type(called).__call__)
    for code, path in ((called, ""), (method, ".__call__")):
        flags = getattr(getattr(code, "__code__", None), "co_flags", 0)
        for flag, kind in _KINDS.items():
            if flags & flag:
                return f"{dotted_path(called)}{path}", kind
    return None


def _without_bound_arguments(func: Any) -> Any:
    while isinstance(func, partial) or inspect.ismethod(func):
        func = _next_layer(func)
    return func


def signature_of(func: Any) -> inspect.Signature | None:
    """The signature, of what asgiref runs too; ``None`` where there is none."""
    awaited = _awaited(func)
    if awaited is not None:
        return signature_of(awaited)
    try:
        return inspect.signature(func)
    except (ValueError, TypeError):  # a built-in, or an object that inspect takes for one
        pass
    wrapped = _wrapped(func)
    if wrapped is not None:
        return signature_of(wrapped)
    return signature_of(func.__call__) if _is_object(func) else None


def positional_parameters(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [each for each in signature.parameters.values() if each.kind in POSITIONAL]


def names_filled_by_position(func: Any, filled: int = 1) -> frozenset[str]:
    """The names that an attribute must not have, since the call fills those parameters by position.

    They are the data's, that of a method's object, and what a ``partial`` holds: of a wrapped
    function at each of its levels, as the attributes go through all of them.
    """
    if isinstance(func, partial):
        return names_filled_by_position(func.func, filled + len(func.args))
    if inspect.ismethod(func):
        return names_filled_by_position(func.__func__, filled + 1)
    wrapped = _wrapped(func)
    inner: frozenset[str] = frozenset()
    if callable(wrapped):
        inner = names_filled_by_position(wrapped, filled)
    if _is_object(func):
        return inner | names_filled_by_position(type(func).__call__, filled + 1)
    return inner | _names_of_first_parameters(func, filled)


def _is_object(func: Any) -> bool:
    """Whether ``func`` is called by a method of its class.

    inspect takes one with a ``__get__``, as class-based decorators have, for a built-in routine.
    """
    if inspect.isclass(func) or isinstance(func, partial) or inspect.ismethod(func):
        return False
    return not inspect.isroutine(func) or inspect.isfunction(type(func).__call__)


def _names_of_first_parameters(func: Any, number: int) -> frozenset[str]:
    try:
        signature = inspect.signature(func, follow_wrapped=False)
    except (ValueError, TypeError):  # a built-in without signature
        return frozenset()
    first = positional_parameters(signature)[:number]
    return frozenset(each.name for each in first if each.kind is not each.POSITIONAL_ONLY)
