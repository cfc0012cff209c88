"""What a callable wraps, where it is defined, and which parameters it has."""

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
    """The callable, then what it wraps, down to the innermost function."""
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
    """What a wrapper made by functools.wraps or asgiref's async_to_sync wraps."""
    return getattr(func, "__wrapped__", None) or _awaited(func)


def _awaited(func: Any) -> Any:
    """What asgiref's AsyncToSync runs; without asgiref imported nothing can be one."""
    asgiref = sys.modules.get("asgiref.sync")
    return func.awaitable if asgiref and isinstance(func, asgiref.AsyncToSync) else None


def plain_function(func: Any) -> Any:
    """The function itself, which bound methods of two objects of one class have in common."""
    if inspect.ismethod(func):
        return func.__func__
    awaited = _awaited(func)
    return func if awaited is None else plain_function(awaited)


def dotted_path(func: Any) -> str:
    """The module and the name of the innermost function of ``func``."""
    *_, innermost = layers(func)
    named = innermost if hasattr(innermost, "__qualname__") else type(innermost)
    return f"{module_of(innermost)}.{named.__qualname__}"


def module_of(func: Any) -> str:
    return getattr(func, "__module__", None) or type(func).__module__


def name_of(func: Any) -> str:
    """The name of the function; for an object with a ``__call__`` that of its class."""
    names = (getattr(layer, "__name__", None) for layer in layers(func))
    return next(filter(None, names), type(func).__name__)


def code_that_does_not_run(func: Any) -> tuple[str, str] | None:
    """The path and the kind of a function whose call only makes a coroutine or a generator.

    ``None`` for any other. Only ``func`` itself counts: a wrapper may well run what it wraps.
    """
    found = _undone_code(func)
    return None if found is None else (found[0], _KINDS[found[1]])


def is_coroutine_function(func: Any) -> bool:
    """Whether ``func`` is an ``async def``, or an object with such a ``__call__``."""
    found = _undone_code(func)
    return found is not None and found[1] == inspect.CO_COROUTINE


def _undone_code(func: Any) -> tuple[str, int] | None:
    called = _without_bound_arguments(func)
    method = _without_bound_arguments(type(called).__call__)
    for code, path in ((called, ""), (method, ".__call__")):
        flags = getattr(getattr(code, "__code__", None), "co_flags", 0)
        for flag in _KINDS:
            if flags & flag:
                return f"{dotted_path(called)}{path}", flag
    return None


def _without_bound_arguments(func: Any) -> Any:
    while isinstance(func, partial) or inspect.ismethod(func):
        func = _next_layer(func)
    return func


def signature_of(func: Any) -> inspect.Signature | None:
    """The signature, also of what asgiref runs; ``None`` if there is none."""
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
    """The names of the parameters that a call fills by position, which no attribute may have.

    These are the parameter for the data, the ``self`` of a method, and those that a ``partial``
    fills. For a wrapped function those of each wrapper count, since the attributes pass through
    all of them.
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
    """Whether ``func`` is an object of a class with a ``__call__``.

    inspect mistakes an object with a ``__get__``, as class-based decorators have, for a built-in.
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
