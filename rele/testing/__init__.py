"""What a project's own tests need: see what was published, and deliver messages to subs.

Installing Relé makes its pytest fixtures available; :func:`deliver` works with any test runner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.testing.delivery import Delivery as Delivery
    from rele.testing.delivery import deliver as deliver

__all__ = ["Delivery", "deliver"]


def __getattr__(name: str) -> Any:
    # pytest loads the plugin in this package in every run, whether it uses Relé or not.
    if name in __all__:
        from rele.testing import delivery

        return getattr(delivery, name)
    raise AttributeError(f"module 'rele.testing' has no attribute {name!r}")
