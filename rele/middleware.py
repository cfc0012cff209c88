"""The hooks around publishing, processing and the worker's life."""

from __future__ import annotations

import pkgutil
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from rele.declaration.handlers import check_result
from rele.declaration.hook_results import check_hook_result as check_hook_result
from rele.declaration.hook_results import log_hook_error, report_safely
from rele.declaration.hook_results import report_hook as report_hook
from rele.declaration.hooks import completed, is_needed
from rele.declaration.hooks import needed_if as needed_if
from rele.declaration.hooks import no_io as no_io
from rele.declaration.hooks import per_thread as per_thread
from rele.exceptions import NoSettingsError
from rele.runtime.in_use import IN_USE
from rele.runtime.interruptions import has_begun, is_interruption

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message

default_middleware = ["rele.contrib.LoggingMiddleware"]

#: Deprecated hooks, which still run, each with the hook to define instead.
DEPRECATED_HOOKS = {"post_publish": "post_publish_success"}

#: An exception of these hooks is raised to the caller, because nothing was sent yet.
_HOOKS_THAT_MAY_REFUSE = frozenset({"pre_publish"})

#: Before these hooks nothing has begun, so unusable settings are raised to the caller.
_HOOKS_BEFORE_ANYTHING = frozenset({"pre_publish", "pre_worker_start"})


class MiddlewareConfig(Protocol):
    """The part of a configuration that this module reads."""

    middleware: list[str]


class BaseMiddleware:
    """Subclass this and define the hooks you need; here, each of them does nothing.

    The hooks around a received message may be an ``async def``. They are awaited in the event loop
    of the handler, if that is an ``async def`` too; otherwise each runs to its end in the thread
    that handles the message.

    Hooks run in the order of ``RELE["MIDDLEWARE"]``. An exception of ``setup`` or ``pre_publish``
    is raised to the caller. An exception of any other hook is logged with the hook's name; then the
    remaining hooks run, and the message is processed as if nothing had happened.
    """

    closes_database_connections = False
    """Whether the middleware closes Django's database connections around each message, as a worker
    needs."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for deprecated, replacement in DEPRECATED_HOOKS.items():
            if deprecated in vars(cls):
                warnings.warn(
                    f"{cls.__qualname__} defines the hook {deprecated}, which is deprecated: "
                    f"define {replacement} instead.",
                    DeprecationWarning,
                    stacklevel=2,
                )

    def setup(self, config: Any, **kwargs: Any) -> None:
        """Called when the middleware is registered, with the :class:`rele.config.Config`.

        ``kwargs`` are the keyword arguments of :func:`rele.setup`.
        """

    @classmethod
    def beside_processes(cls, config: Any) -> AbstractContextManager[object] | None:
        """Return what the process that supervises those of ``--processes`` is to run in.

        There no middleware is made and no hook runs. What the context sets in ``os.environ``, the
        processes that consume find in theirs.
        """
        return None

    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        """Called before a message is encoded; ``attrs`` may be changed in place."""

    def post_publish_success(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        """Called when Pub/Sub has accepted the message."""

    def post_publish_failure(self, topic: str, exception: BaseException, message: Any) -> None:
        """Called when Pub/Sub has not accepted the message, or not in time.

        ``message`` is the data as it was published, before it was encoded.
        """

    @no_io
    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        """Called when the worker receives a message."""

    @no_io
    def post_process_message(self) -> None:
        """Called after each message, however it ended, in the thread that handled it."""

    @no_io
    def post_process_message_success(
        self, subscription: Subscription, start_time: float, message: Message
    ) -> None:
        """Called when the handler has returned; ``start_time`` is in seconds since the epoch."""

    @no_io
    def post_process_message_failure(
        self,
        subscription: Subscription,
        exception: BaseException,
        start_time: float,
        message: Message,
    ) -> None:
        """Called when the message has failed, before it is nacked.

        A hook that settles the message itself (``message.ack()``) is respected.
        """

    @no_io
    def post_process_message_duplicate(self, subscription: Subscription, message: Message) -> None:
        """Called when a handler is not run, because it has handled the message already.

        The message is acknowledged after this, and counts as a success.
        """

    @no_io
    def post_ack_failure(
        self, subscription: Subscription, exception: BaseException, message: Message
    ) -> None:
        """Called when an acknowledgement failed, on a subscription with exactly-once delivery.

        The handler has succeeded, but the message may be delivered and handled again.
        ``exception`` is Google's ``AcknowledgeError``, or a ``TimeoutError``.
        """

    @no_io
    def post_process_batch(
        self, subscription: Subscription, start_time: float, messages: Sequence[Message]
    ) -> None:
        """Called after a batch of a handler of batches, after the hooks of each of its messages.

        ``start_time`` is in seconds since the epoch.
        """

    def pre_worker_start(self) -> None:
        """Called before the worker begins to consume."""

    def post_worker_start(self) -> None:
        """Called when every subscription is being consumed."""

    def pre_worker_stop(self, subscriptions: list[Subscription]) -> None:
        """Called before the worker stops consuming."""

    def post_worker_stop(self) -> None:
        """Called when every outstanding message is settled and the clients are closed."""


HookCall = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str, object]
"""A hook, its arguments, its name and its middleware."""

_NO_KEYWORDS: dict[str, Any] = {}

_this_thread = threading.local()


def register_middleware(config: MiddlewareConfig, **kwargs: Any) -> None:
    """Make and set up the middlewares of ``config``, in their order, in place of the former ones.

    Raises:
        ImportError, AttributeError: a path in ``config.middleware`` leads nowhere.
        Exception: whatever a middleware's ``setup`` raises.
    """
    middlewares = _set_up(config, **kwargs)
    with IN_USE.registering:
        IN_USE.middleware = middlewares


def read_config_by(read: Callable[[], MiddlewareConfig]) -> None:
    """Let the first hook register the middleware of ``read()``, unless some is registered by then.

    The Django app calls this for code that never calls ``setup``, such as code that makes a
    Callback or a Worker itself.
    """
    IN_USE.read_configuration = read


def register_first(read: Callable[[], MiddlewareConfig]) -> None:
    """Register the middleware of ``read()``, unless some is registered.

    Other threads wait until the middleware is registered. Hooks that a middleware's ``setup``
    triggers do not run: nothing is registered yet.

    Raises:
        Exception: any error of ``read`` or :func:`register_middleware`.
    """
    if IN_USE.middleware is not None or getattr(_this_thread, "registers", False):
        return
    with IN_USE.registering:
        if IN_USE.middleware is not None:
            return
        _this_thread.registers = True
        try:
            middlewares = _set_up(read())
        finally:
            _this_thread.registers = False
        if IN_USE.middleware is None:  # else a setup has registered others
            IN_USE.middleware = middlewares


def _set_up(config: MiddlewareConfig, **kwargs: Any) -> list[Any]:
    middlewares = []
    for path in config.middleware:
        middleware = pkgutil.resolve_name(path)()
        check_result(middleware.setup(config, **kwargs), "The hook setup of %s", path)
        middlewares.append(middleware)
    return [*middlewares, *IN_USE.own_hooks]


def forget_middleware() -> None:
    """Forget the registered middleware.

    In a Django project the next hook registers the middleware of the settings again.
    """
    with IN_USE.registering:
        IN_USE.middleware = None


def run_middleware_hook(hook_name: str, *args: Any, **kwargs: Any) -> None:
    """Call ``hook_name`` of every registered middleware that has it, in order.

    Raises:
        Exception: any error of a ``pre_publish``; before a publish or the start of a worker also
            any error of the settings, if they are read now.
        BaseException: what a signal, such as Ctrl-C, has raised while the hooks ran.
    """
    if hook_name in _HOOKS_THAT_MAY_REFUSE:
        for middleware in _middlewares(hook_name):
            hook = getattr(middleware, hook_name, None)
            if hook is not None and (result := hook(*args, **kwargs)) is not None:
                check_hook_result(result, hook_name, middleware)
        return
    _, interruption = call_hooks({}, calls_of(hook_name, args, kwargs))
    if interruption is not None:
        raise interruption


def run_message_hook(hook_name: str, *args: Any) -> None:
    """Call ``hook_name`` of every registered middleware that has it, for one message.

    Whatever a hook raises is logged, and the others run: the message is handled nevertheless. This
    is :func:`run_middleware_hook` at less cost, for what is called with every message.
    """
    registered = IN_USE.middleware
    for middleware in _first_middlewares(hook_name) if registered is None else registered:
        hook = getattr(middleware, hook_name, None)
        if hook is None:
            continue
        try:
            if (result := hook(*args)) is not None:
                check_hook_result(completed(result, hook_name), hook_name, middleware)
        except BaseException as error:  # noqa: BLE001 - of the project's code, or of a signal
            report_safely(hook_name, middleware, error)


def calls_of(
    hook_name: str, args: tuple[Any, ...], kwargs: dict[str, Any] = _NO_KEYWORDS
) -> list[HookCall]:
    """The calls of ``hook_name`` of every registered middleware that has it, in order.

    Raises:
        Exception: before a publish or the start of a worker any error of the settings, if they are
            read now.
    """
    calls: list[HookCall] = []
    for middleware in _middlewares(hook_name):
        hook = getattr(middleware, hook_name, None)
        if hook is not None:
            calls.append((hook, args, kwargs, hook_name, middleware))
    return calls


Hook = tuple[Callable[..., Any], str, object]
"""A hook, its name and its middleware."""


def hooks_of(hook_name: str) -> list[Hook]:
    """The hook of every registered middleware that has it and does something there, in order."""
    nothing = getattr(BaseMiddleware, hook_name)
    hooks: list[Hook] = []
    for middleware in _middlewares(hook_name):
        hook = getattr(middleware, hook_name, None)
        if hook is None or getattr(hook, "__func__", None) is nothing:
            continue
        if is_needed(hook, middleware):
            hooks.append((hook, hook_name, middleware))
    return hooks


def call_message_hooks(hooks: Iterable[Hook], *args: Any) -> None:
    """Call ``hooks`` for one message, as :func:`run_message_hook` does."""
    for hook, hook_name, middleware in hooks:
        try:
            if (result := hook(*args)) is not None:
                check_hook_result(completed(result, hook_name), hook_name, middleware)
        except BaseException as error:  # noqa: BLE001 - of the project's code, or of a signal
            report_safely(hook_name, middleware, error)


def call_hooks(
    claim: dict[str, object], calls: Iterable[HookCall]
) -> tuple[bool, BaseException | None]:
    """Make all ``calls`` and log their errors, unless another caller has the ``claim`` to that.

    An exception that a signal raises keeps no hook from being called. For this, all happens in one
    function, in which a signal may interrupt only the hooks themselves and the ends of calls.

    Returns:
        whether this caller had the claim, and what a signal has raised meanwhile.
    """
    me = object()
    left = iter(calls)
    call: HookCall | None = None
    raised: BaseException | None = None
    interruption: BaseException | None = None
    while True:
        try:
            # The first caller gets the claim; to ask again, after an interruption, changes nothing.
            if claim.setdefault("by", me) is not me:
                return False, interruption or raised
            if raised is not None:
                (to_judge, its_call), raised, call = (raised, call), None, None
                interruption = _judged(to_judge, its_call) or interruption
                if interruption is to_judge and its_call and not has_begun(to_judge, _CALLER):
                    left = chain([its_call], left)
            for call in left:
                if (result := call[0](*call[1], **call[2])) is not None:
                    check_hook_result(completed(result, call[3]), *call[3:])
            return True, interruption
        except BaseException as error:  # noqa: BLE001 - judged in the next round
            raised = error


_CALLER = call_hooks.__code__


def _judged(error: BaseException, call: HookCall | None) -> BaseException | None:
    """Return ``error`` if a signal has raised it; otherwise log that the hook of ``call`` did."""
    if call is None or is_interruption(error):
        return error
    report_hook(*call[3:], error)
    return None


def _middlewares(hook_name: str) -> Sequence[Any]:
    registered = IN_USE.middleware
    return _first_middlewares(hook_name) if registered is None else registered


def _first_middlewares(hook_name: str) -> Sequence[Any]:
    """The middleware of the project's settings, registered now if none is registered."""
    if IN_USE.read_configuration is not None:
        try:
            register_first(IN_USE.read_configuration)
        except NoSettingsError:
            return ()
        except Exception as error:
            if hook_name in _HOOKS_BEFORE_ANYTHING:
                raise
            log_hook_error(
                hook_name,
                error,
                "The hook %s does not run: the middleware of the settings cannot be set up: %r",
                hook_name,
                error,
            )
    return IN_USE.middleware or ()
