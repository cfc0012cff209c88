"""What a project's own tests need: see what was published, and deliver messages to subs.

Installing Relé makes its pytest fixtures available; the rest works with any test runner.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.testing.capture import PublishedMessagesMixin as PublishedMessagesMixin
    from rele.testing.capture import captured_messages as captured_messages
    from rele.testing.delivery import Delivery as Delivery
    from rele.testing.delivery import adeliver as adeliver
    from rele.testing.delivery import deliver as deliver

_MODULES = {
    "Delivery": "delivery",
    "PublishedMessagesMixin": "capture",
    "adeliver": "delivery",
    "captured_messages": "capture",
    "deliver": "delivery",
}

__all__ = ["Delivery", "PublishedMessagesMixin", "adeliver", "captured_messages", "deliver"]


def __getattr__(name: str) -> Any:
    # pytest loads the plugin in this package in every run, whether it uses Relé or not.
    if name in _MODULES:
        return getattr(importlib.import_module(f"rele.testing.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'rele.testing' has no attribute {name!r}")
