"""Relé's other apps in the same admin, as links and counts, as far as the user may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.db import Error as AnyDatabaseError
from django.db import transaction
from django.http import HttpRequest

from rele.contrib.admin.figure_lines import FigureLine, within
from rele.contrib.admin.room import APP
from rele.contrib.admin.wording import number
from rele.project.extensions import rooms_in_use

COUNTED = 1_000
"""How many rows are counted, at most."""


@dataclass(frozen=True)
class Table:
    """One list of another app."""

    name: str
    url: str
    count: str


@dataclass(frozen=True)
class RoomPanel:
    """Another app."""

    name: str
    tables: tuple[Table, ...]
    figures: tuple[FigureLine, ...]


def panels_of(
    site: AdminSite, request: HttpRequest, figures: Sequence[FigureLine]
) -> tuple[list[RoomPanel], list[FigureLine]]:
    """The other apps of Relé and of packages that extend it, and the figures of none of them."""
    ours = {room.app for room in rooms_in_use() if room.app} - {APP}
    panels = []
    left = list(figures)
    for app in site.get_app_list(request):
        label = app["app_label"]
        if apps.get_app_config(label).name not in ours:
            continue
        prefix = f"{label}_"
        tables = tuple(_tables(site, request, app["models"]))
        panels.append(RoomPanel(str(app["name"]), tables, _more_than(tables, within(prefix, left))))
        left = [each for each in left if not each.name.startswith(prefix)]
    return panels, left


def _more_than(tables: Sequence[Table], figures: Sequence[FigureLine]) -> tuple[FigureLine, ...]:
    """The figures without those that count what a table counts as well."""
    names = {table.name.casefold() for table in tables}
    return tuple(each for each in figures if each.words.casefold() not in names)


def _tables(site: AdminSite, request: HttpRequest, models: Sequence[dict[str, Any]]) -> list[Table]:
    return [
        Table(str(model["name"]), model["admin_url"], _count(site, request, model["model"]))
        for model in models
        if model.get("admin_url")
    ]


def _count(site: AdminSite, request: HttpRequest, model: Any) -> str:
    try:
        rows = site._registry[model].get_queryset(request)
        with transaction.atomic(using=rows.db):  # an error breaks no transaction of the request
            count = rows.order_by()[: COUNTED + 1].count()
    except AnyDatabaseError:
        return "not available"
    return f"more than {number(COUNTED)}" if count > COUNTED else number(count)
