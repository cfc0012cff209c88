"""Relé: publish and consume Google Cloud Pub/Sub messages.

The names are resolved on first use, so that ``import rele`` loads no Google module.
"""

from __future__ import annotations

import importlib
import threading  # noqa: F401 - while it is not loaded, nothing tells that the interpreter ends
from concurrent.futures import thread as _thread  # noqa: F401 - Google's client cannot load it then
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from rele._version import __version__

if TYPE_CHECKING:
    from rele import config as config
    from rele.client import Publisher as Publisher
    from rele.client import Subscriber as Subscriber
    from rele.config import setup as setup
    from rele.dead_letter_policy import DeadLetterPolicy as DeadLetterPolicy
    from rele.declaration.batch import Batch as Batch
    from rele.exceptions import PartialFailure as PartialFailure
    from rele.handling.batch_message import BatchMessage as BatchMessage
    from rele.handling.current import ReceivedMessage as ReceivedMessage
    from rele.handling.current import current_message as current_message
    from rele.publishing import acancel_scheduled as acancel_scheduled
    from rele.publishing import apublish as apublish
    from rele.publishing import apublish_later as apublish_later
    from rele.publishing import apublish_many as apublish_many
    from rele.publishing import cancel_scheduled as cancel_scheduled
    from rele.publishing import flush as flush
    from rele.publishing import publish as publish
    from rele.publishing import publish_later as publish_later
    from rele.publishing import publish_many as publish_many
    from rele.retry_policy import RetryPolicy as RetryPolicy
    from rele.sending.scheduling import ScheduledMessage as ScheduledMessage
    from rele.subscription import Callback as Callback
    from rele.subscription import Subscription as Subscription
    from rele.subscription import sub as sub
    from rele.worker import Worker as Worker

_MODULE_OF = {
    "Batch": "rele.declaration.batch",
    "BatchMessage": "rele.handling.batch_message",
    "Callback": "rele.subscription",
    "DeadLetterPolicy": "rele.dead_letter_policy",
    "PartialFailure": "rele.exceptions",
    "Publisher": "rele.client",
    "ReceivedMessage": "rele.handling.current",
    "RetryPolicy": "rele.retry_policy",
    "ScheduledMessage": "rele.sending.scheduling",
    "Subscriber": "rele.client",
    "Subscription": "rele.subscription",
    "Worker": "rele.worker",
    "acancel_scheduled": "rele.publishing",
    "apublish": "rele.publishing",
    "apublish_later": "rele.publishing",
    "apublish_many": "rele.publishing",
    "cancel_scheduled": "rele.publishing",
    "current_message": "rele.handling.current",
    "flush": "rele.publishing",
    "publish": "rele.publishing",
    "publish_later": "rele.publishing",
    "publish_many": "rele.publishing",
    "setup": "rele.config",
    "sub": "rele.subscription",
}

_MODULES = ("client", "config", "middleware", "publishing", "subscription", "worker")

__all__ = [*_MODULE_OF, "__version__", "config"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        module = importlib.import_module(_MODULE_OF[name])
        value = getattr(module, name)
        if _is_function_of(module, value):  # and not what a test has put there meanwhile
            globals()[name] = value  # is found without this function from now on
        return value
    if name in _MODULES:
        return importlib.import_module(f"rele.{name}")
    raise AttributeError(f"module 'rele' has no attribute {name!r}")


def _is_function_of(module: ModuleType, value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__code__.co_filename == module.__file__


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
