"""The subscriptions that modules declare."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType

from rele.declaration.filters import Filters
from rele.declaration.subscription import Subscription


def load_subscriptions_from_paths(
    sub_module_paths: Iterable[str],
    sub_prefix: str | None = None,
    filter_by: Filters = None,
) -> list[Subscription]:
    """Import modules and gather the subscriptions that they declare.

    Args:
        sub_module_paths: dotted paths.
        sub_prefix: of the subscriptions that have no prefix of their own.
        filter_by: for those that have no filter of their own.

    Raises:
        RuntimeError: two subscriptions have the same name, or a class of one cannot be called.
    """
    subscriptions: dict[str, Subscription] = {}
    for declared in _declared_in(map(importlib.import_module, sub_module_paths)):
        subscription = prepare(declared, sub_prefix, filter_by)
        other = subscriptions.setdefault(subscription.name, subscription)
        if not other.has_function_of(subscription):
            raise RuntimeError(same_name(other, subscription))
    return list(subscriptions.values())


Declared = Subscription | type[Subscription]


def declared_in(module: ModuleType) -> list[Declared]:
    """The subscriptions of a module, and the classes of one that can be called to make one."""
    return [
        found
        for found in vars(module).values()
        if isinstance(found, Subscription)
        or (
            isinstance(found, type)
            and issubclass(found, Subscription)
            and found is not Subscription
        )
    ]


def prepare(declared: Declared, sub_prefix: str | None, filter_by: Filters) -> Subscription:
    """The subscription, with the project's prefix and filters where it has none of its own.

    Raises:
        RuntimeError: it is a class, and calling it fails; or its class does not initialise it.
    """
    try:
        subscription = declared() if isinstance(declared, type) else declared  # type: ignore[call-arg]
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise RuntimeError(_cannot_be_made(declared, reason)) from error  # type: ignore[arg-type]
    if not subscription.is_initialised:
        raise RuntimeError(
            _cannot_be_made(
                type(subscription),
                "its __init__ does not call super().__init__(func, topic). Call it there.",
            )
        )
    if sub_prefix:
        subscription.set_prefix(sub_prefix)
    if filter_by:
        subscription.set_filters(filter_by)
    return subscription


def _cannot_be_made(declared: type[Subscription], reason: str) -> str:
    name = f"{declared.__module__}.{declared.__qualname__}"
    return f"The subscription {name} cannot be made: {reason}"


def same_name(one: Subscription, other: Subscription) -> str:
    """The sentence that says so, and what to do."""
    return (
        f"Two subscriptions have the name {one.name!r}: {one.path} and {other.path}. Give one of "
        "them a suffix of its own."
    )


def _declared_in(modules: Iterable[ModuleType]) -> list[Declared]:
    """What the modules declare, each once: one may have imported another's."""
    return list({id(found): found for module in modules for found in declared_in(module)}.values())
