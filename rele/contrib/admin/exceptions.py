"""What the page and its commands raise."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rele.exceptions import ReleError
from rele.management.databases import Tables


class PageError(ReleError):
    """The app's tables cannot be used, or not as asked."""


def explained_errors() -> AbstractContextManager[None]:
    """Within the block, turn an error of the app's database into a :class:`PageError`."""
    from django.db import router

    from rele.contrib.admin.models import Failure, Minute, Note, Process, Subscription

    models = (Failure, Minute, Note, Process, Subscription)
    names = frozenset(model._meta.db_table for model in models)
    # By the app's name, since a command may ask as well as the page.
    return Tables("app rele.contrib.admin", names, PageError).explained_errors(
        router.db_for_write(Process)
    )
