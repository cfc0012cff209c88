"""Flask's application context around each message."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.exceptions import ConfigurationError
from rele.handling.current import BatchHandling, current_handling
from rele.middleware import BaseMiddleware, no_io


class FlaskMiddleware(BaseMiddleware):
    """Runs each handler in an application context of its own, as Flask runs a view.

    A handler of batches has one for each batch.

    That of an async handler is pushed and popped in its task: what ``teardown_appcontext`` calls
    runs in the event loop.

    Give the application to :func:`rele.setup`::

        rele.setup(settings.RELE, flask_app=app)
    """

    def setup(self, config: Any, **kwargs: Any) -> None:
        """Take the application.

        Raises:
            ConfigurationError: ``flask_app`` was not given to ``rele.setup``.
        """
        if "flask_app" not in kwargs:
            raise ConfigurationError(
                "FlaskMiddleware needs the application: call rele.setup(RELE, flask_app=app)."
            )
        self._app = kwargs["flask_app"]
        self._pushed: ContextVar[_Pushed | None] = ContextVar("rele_flask_context", default=None)

    @no_io
    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        pushed = self._pushed.get()
        batch = current_handling()
        if pushed is not None and isinstance(batch, BatchHandling) and pushed.batch is batch:
            pushed.messages += 1
            return
        context = self._app.app_context()
        context.push()
        self._pushed.set(_Pushed(context, batch))

    @no_io
    def post_process_message(self) -> None:
        pushed = self._pushed.get()
        if pushed is None:
            return
        pushed.messages -= 1
        if pushed.messages == 0:
            self._pushed.set(None)
            pushed.context.pop()


@dataclass
class _Pushed:
    """A context, and for how many messages of a batch it is still needed."""

    context: Any
    batch: object
    messages: int = 1
