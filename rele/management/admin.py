"""What pages of Django's admin have in common whose tables may have millions of rows."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import parse_qs

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

LISTED = 10_000
"""How many rows a list has at most, and an action at a time."""

EXAMPLES = 10
"""How many rows a confirmation page shows."""

_DATABASE = "database"

_CONFIRMED = "confirmed"
"""The field of a confirmation page that has the ids of the rows, of which a form may have more than
DATA_UPLOAD_MAX_NUMBER_FIELDS allows."""

_DIGITS = 18
"""More than that is no id."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no more rows than :data:`LISTED`, and has pages for the first ones only."""

    @cached_property
    def count(self) -> int:
        return min(self._found, LISTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more."""
        return self._found > LISTED

    @cached_property
    def _found(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: LISTED + 1].count())


class DatabaseFilter(admin.SimpleListFilter):
    """Chooses the database, where there are several. The admin's query set is of the chosen one."""

    title = "database"
    parameter_name = _DATABASE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self._chosen = model_admin.database_of(request)
        return [(alias, alias) for alias in model_admin.databases()]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1

    def choices(self, changelist: Any) -> Any:
        for alias, title in self.lookup_choices:
            yield {
                "selected": alias == self._chosen,
                "query_string": changelist.get_query_string({_DATABASE: alias}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class RecentValuesFilter(admin.SimpleListFilter):
    """Filters by a value of a column, of those that the newest rows have."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by("-pk")
        values = set(rows.values_list(self.parameter_name, flat=True)[:LISTED])
        if chosen := self.value():
            values.add(chosen)
        return [(value, value) for value in sorted(values)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows, of which it reads no ``heavy`` column, and changes nothing.

    Django would ask the routers where to read a column that was left out, and might read that of
    another database: no page may use one.
    """

    heavy: Sequence[str] = ()
    ordering = ("-pk",)
    sortable_by = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    # From Django 5.0 on: a count of each filter would read all rows.
    show_facets: ClassVar[Any] = getattr(getattr(admin, "ShowFacets", None), "NEVER", None)
    list_per_page = 50

    def databases(self) -> Sequence[str]:
        """The aliases of the databases that have such rows; the first is shown by default."""
        raise NotImplementedError

    def database_of(self, request: HttpRequest) -> str:
        """The alias of the database that a page is about."""
        filters = request.GET
        chosen = filters.get(_DATABASE)
        if chosen is None:  # a row's page has the filters of the list that it was opened from
            of_list = parse_qs(filters.get("_changelist_filters", ""))
            chosen = of_list.get(_DATABASE, [""])[0]
        databases = self.databases()
        return chosen if chosen in databases else databases[0]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).using(self.database_of(request))
        return rows.defer(*self.heavy)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def note(
        self, request: HttpRequest, flag: int, rows: Iterable[Model], describe: Callable[[Any], str]
    ) -> None:
        """Write into the admin's log what the user did with each row.

        Args:
            flag: one of ``django.contrib.admin.models``.
        """
        from django.contrib.admin.models import LogEntry
        from django.contrib.contenttypes.models import ContentType

        user: Any = request.user
        several = len(self.databases()) > 1
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=user.pk,
                content_type=ContentType.objects.get_for_model(self.model),
                object_id=str(row.pk),
                object_repr=f"{row}{f' in {row._state.db}' if several else ''}"[:200],
                action_flag=flag,
                change_message=describe(row),
            )
            for row in rows
        )


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the user has the permission ``APP.NAME``."""
    user: Any = request.user
    return bool(user.has_perm(permission))


def first_of(rows: QuerySet[Any]) -> QuerySet[Any]:
    """The first rows of a list, as many as an action is about."""
    return rows.filter(pk__in=list(rows.order_by("-pk").values_list("pk", flat=True)[:LISTED]))


def confirmed(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any] | None:
    """Those of ``rows`` that a confirmation page has named; ``None`` where none was answered."""
    answer = request.POST.get(_CONFIRMED)
    if answer is None:
        return None
    ids = [int(id_) for id_ in answer.split(",") if id_.isdecimal() and len(id_) <= _DIGITS]
    return rows.filter(pk__in=ids[:LISTED])


def ask(
    model_admin: ReadOnlyAdmin,
    request: HttpRequest,
    rows: QuerySet[Any],
    template: str,
    title: str,
    **context: Any,
) -> TemplateResponse:
    """The page that asks whether to do something with ``rows``."""
    chosen = first_of(rows)
    ids = list(chosen.values_list("pk", flat=True))
    return TemplateResponse(
        request,
        template,
        {
            **model_admin.admin_site.each_context(request),
            "opts": model_admin.model._meta,
            "media": model_admin.media,
            "title": title,
            "number": len(ids),
            "is_cut": rows.order_by()[: LISTED + 1].count() > LISTED,
            "examples": chosen.order_by("-pk")[:EXAMPLES],
            "more": max(len(ids) - EXAMPLES, 0),
            "action": request.POST.get("action"),
            "selected": ids[0] if ids else 0,
            "confirmed_ids": ",".join(map(str, ids)),
            **context,
        },
    )


def written_before(rows: QuerySet[Any], moment: datetime, column: str) -> QuerySet[Any]:
    """Those of ``rows`` that were written before ``moment``.

    Ids grow with time, so the newest of them is found by its id: the column needs no index.
    """
    everything = rows.model._base_manager.using(rows.db)
    ends = [everything.order_by(way).values_list("pk", flat=True).first() for way in ("pk", "-pk")]
    if None in ends:
        return rows.none()

    def is_later(id_: int) -> bool:
        found = everything.filter(pk__gte=id_).order_by("pk").values_list(column, flat=True)
        first = found.first()
        return first is None or bool(first >= moment)

    first_later = bisect.bisect_left(range(ends[0], ends[1] + 1), True, key=is_later) + ends[0]
    return rows.filter(pk__lt=first_later, **{f"{column}__lt": moment})


def shown(moment: datetime | None, *, with_zone: bool = False) -> str:
    """A time of a row with its seconds, in the current time zone."""
    if moment is None:
        return "-"
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return f"{local:%Y-%m-%d %H:%M:%S}{f' {local:%Z}' if with_zone else ''}".rstrip()


def cut(text: str, length: int) -> str:
    """A text of a row, for a list."""
    return text if len(text) <= length else f"{text[:length]}…"
