"""The inbox: a handler's writes take effect once, however often its message is delivered.

Add ``"rele.contrib.inbox"`` to INSTALLED_APPS, migrate, and put ``@idempotent`` under ``@sub``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.contrib.inbox.decorator import idempotent as idempotent


def __getattr__(name: str) -> Any:
    # Django imports this package before models may be imported.
    if name == "idempotent":
        return importlib.import_module("rele.contrib.inbox.decorator").idempotent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
