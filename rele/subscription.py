"""What a project declares to receive messages: the public names."""

from __future__ import annotations

from rele.declaration.subscription import Filter, Filters, Subscription, sub
from rele.handling.callback import Callback

__all__ = ["Callback", "Filter", "Filters", "Subscription", "sub"]
