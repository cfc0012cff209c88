"""The marks of hooks."""

from __future__ import annotations

import pytest

from rele.declaration.hooks import HOOKS_OF_MESSAGES, mark_of, no_io, per_thread
from rele.middleware import BaseMiddleware


def test_a_mark_stays_with_the_method() -> None:
    class Middleware(BaseMiddleware):
        @no_io
        def pre_process_message(self, *args: object) -> None: ...

        @per_thread
        def post_process_message(self) -> None: ...

    assert mark_of(Middleware().pre_process_message) == "no_io"
    assert mark_of(Middleware().post_process_message) == "per_thread"


def test_a_hook_that_overrides_a_marked_one_has_no_mark() -> None:
    class Middleware(BaseMiddleware):
        def post_process_message(self) -> None: ...

    assert mark_of(Middleware().post_process_message) is None


@pytest.mark.parametrize("name", sorted(HOOKS_OF_MESSAGES))
def test_a_hook_that_does_nothing_does_no_io(name: str) -> None:
    assert mark_of(getattr(BaseMiddleware(), name)) == "no_io"


def test_a_mark_on_an_async_hook_is_refused() -> None:
    async def hook() -> None: ...

    with pytest.raises(TypeError, match="is an `async def`, which is awaited: remove the @no_io"):
        no_io(hook)
