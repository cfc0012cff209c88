"""What the page's commands raise."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rele.exceptions import ReleError
from rele.management.databases import Tables


class PageError(ReleError):
    """The tables of the page cannot be used."""


def explained_errors() -> AbstractContextManager[None]:
    """Within the block, turn an error of the page's database into a :class:`PageError`."""
    from django.db import router

    from rele.contrib.admin.models import Failure, Minute, Note, Process, Subscription

    models = (Failure, Minute, Note, Process, Subscription)
    names = frozenset(model._meta.db_table for model in models)
    return Tables("page in the admin", names, PageError).explained_errors(
        router.db_for_write(Process)
    )
