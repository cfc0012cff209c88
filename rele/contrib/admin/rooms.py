"""Relé's other apps in the same admin, as links and counts, as far as the user may see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.db import Error as AnyDatabaseError
from django.db import transaction
from django.http import HttpRequest

from rele.contrib.admin.panels import FigureLine
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
        own = [each for each in left if each.name.startswith(prefix)]
        left = [each for each in left if each not in own]
        tables = tuple(_tables(site, request, app["models"]))
        panels.append(RoomPanel(str(app["name"]), tables, tuple(_within(prefix, own))))
    return panels, left


def _within(prefix: str, figures: Sequence[FigureLine]) -> Iterator[FigureLine]:
    """The figures, without the name of their room."""
    for each in figures:
        yield replace(each, words=each.name.removeprefix(prefix).replace("_", " "))


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
