"""Functions that take options as keyword arguments, shown with each option that they take."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_type_hints

from rele.declaration.options import KEYWORD_ONLY, OPTIONS, TYPES
from rele.schema.problems import did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])

_WIDTH = 92


def shows_options(function: Function) -> Function:
    """Let the signature of a function that takes ``**options`` show them, as its docstring does.

    Editors, ``help()`` and ``inspect.signature`` then name each option with its type and default.
    """
    *parameters, options = inspect.signature(function).parameters.values()
    # Its type exists only for type checkers.
    del function.__annotations__[options.name]
    types = get_type_hints(function)
    shown = [
        *(each.replace(annotation=types.get(each.name, each.empty)) for each in parameters),
        *(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=TYPES[name]
            )
            for name in OPTIONS
            if name in KEYWORD_ONLY
        ),
    ]
    returned = None if types["return"] is type(None) else types["return"]
    signature = inspect.Signature(shown, return_annotation=returned)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = _with_options(function.__doc__, signature.parameters)
    return function


def check_names(function: Callable[..., Any], names: Iterable[str]) -> None:
    """Refuse keyword arguments that a function which shows its options does not take.

    Raises:
        TypeError: there is one.
    """
    for name in names:
        if name not in KEYWORD_ONLY:
            known = inspect.signature(function).parameters
            raise TypeError(
                f"{function.__qualname__}() got an unexpected keyword argument {name!r}. "
                f"{did_you_mean(name, known)}"
            )


def _with_options(docstring: str | None, names: Iterable[str]) -> str:
    lines = [
        textwrap.fill(f"{name}: {OPTIONS[name].documentation}.", _WIDTH, subsequent_indent=" " * 4)
        for name in names
        if name in OPTIONS
    ]
    described = textwrap.indent("\n".join(lines), " " * 4)
    return f"{inspect.cleandoc(docstring or '')}\n\nOptions:\n{described}\n"
