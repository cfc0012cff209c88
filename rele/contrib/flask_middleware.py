"""Flask's application context around each message."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.exceptions import ConfigurationError
from rele.middleware import BaseMiddleware, no_io


class FlaskMiddleware(BaseMiddleware):
    """Runs each handler in an application context of its own, as Flask runs a view.

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
        self._pushed: ContextVar[Any] = ContextVar("rele_flask_context", default=None)

    @no_io
    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        context = self._app.app_context()
        context.push()
        self._pushed.set(context)

    @no_io
    def post_process_message(self) -> None:
        context = self._pushed.get()
        if context is not None:
            self._pushed.set(None)
            context.pop()
