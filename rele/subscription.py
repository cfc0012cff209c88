"""What a project declares to receive messages: the public names."""

from __future__ import annotations

from rele.declaration.decorator import sub
from rele.declaration.filters import Filter, Filters
from rele.declaration.subscription import Subscription
from rele.handling.callback import Callback

__all__ = ["Callback", "Filter", "Filters", "Subscription", "sub"]
