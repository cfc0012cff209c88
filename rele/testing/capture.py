"""Seeing what a test publishes, instead of sending it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import TestCase

from rele import publishing
from rele.backends import Message
from rele.backends.locmem import LocMemBackend

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


@contextmanager
def captured_messages() -> Iterator[list[Message]]:
    """What is published within the block, in order; nothing of it is sent::

        with captured_messages() as messages:
            rele.publish("order-paid", {"id": 42})
        assert messages[0].json() == {"id": 42}

    That holds for any thread of the process and any configured backend, the outbox too. Of blocks
    within each other, only the innermost gets a message.
    """
    messages: list[Message] = []
    with publishing.sent_through(LocMemBackend(messages=messages)):
        yield messages


class PublishedMessagesMixin(_Base):
    """For a ``TestCase`` of Django or of the standard library, to be named before it::

        class OrderTest(PublishedMessagesMixin, TestCase):
            def test_a_paid_order_is_published(self):
                self.client.post("/orders/42/pay")
                [message] = self.published_messages

    Nothing is sent while a test of the class runs, nor while the class is set up.

    Raises:
        TypeError: the class names it after its ``TestCase``.
    """

    published_messages: list[Message]
    """What the test has published, in order; it is emptied before each test."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if TestCase in order and order.index(TestCase) < order.index(PublishedMessagesMixin):
            raise TypeError(
                f"{cls.__qualname__} must name PublishedMessagesMixin before its TestCase: "
                f"`class {cls.__name__}(PublishedMessagesMixin, TestCase)`."
            )

    @classmethod
    def setUpClass(cls) -> None:
        stack = ExitStack()
        cls.addClassCleanup(stack.close)
        cls.published_messages = stack.enter_context(captured_messages())
        super().setUpClass()

    def run(self, result: Any = None) -> Any:
        self.published_messages.clear()
        return super().run(result)

    def debug(self) -> None:
        self.published_messages.clear()
        super().debug()
