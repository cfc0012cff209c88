"""The inbox in Django's admin, read-only except that records can be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db import connections, router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from rele.contrib.inbox.models import InboxMessage, digest_of
from rele.management.admin import (
    LISTED,
    DatabaseFilter,
    ReadOnlyAdmin,
    RecentValuesFilter,
    ask,
    confirmed,
    cut,
    may,
    shown,
)

_IN_LIST = 100
"""How many characters of an event id the list shows."""

_CONFIRMATION = "admin/rele_inbox/inboxmessage/confirm_delete.html"


class SubscriptionFilter(RecentValuesFilter):
    """Filters by a subscription that has a new record."""

    title = "subscription"
    parameter_name = "subscription"


@admin.register(InboxMessage)
class InboxMessageAdmin(ReadOnlyAdmin):
    class Media:
        css = {"all": ("rele_inbox/admin.css",)}  # noqa: RUF012 - as Django declares it

    list_display = ("event", "subscription", "handled")
    list_filter = (DatabaseFilter, SubscriptionFilter)
    search_fields = ("event_id",)
    search_help_text = (
        "An event id, whole, for the subscriptions in the filter; or a subscription that is not "
        "there, a space and an event id."
    )
    fields = ("event_id", "subscription", "handled")
    actions = ("delete_records",)

    def databases(self) -> Sequence[str]:
        """The router's, and the others that may have the table, as ``using`` may name any."""
        default = router.db_for_write(InboxMessage)
        others = (alias for alias in connections if alias != default)
        return (
            default,
            *(each for each in others if router.allow_migrate_model(each, InboxMessage)),
        )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        alias = self.database_of(request)
        if alias != self.databases()[0] and not _has_inbox(alias):
            self.message_user(request, f"There is no inbox in {alias!r}.", messages.WARNING)
            return HttpResponseRedirect(request.path)
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the digest, which has an index."""
        if not search_term:
            return queryset, False
        term = search_term.strip()
        recent = self.get_queryset(request).order_by("-pk").values_list("subscription", flat=True)
        digests = {digest_of(subscription, term) for subscription in set(recent[:LISTED])}
        for separator in (index for index, character in enumerate(term) if character == " "):
            digests.add(digest_of(term[:separator], term[separator + 1 :]))
        return queryset.filter(digest__in=digests), False

    @admin.display(description="event id")
    def event(self, record: InboxMessage) -> str:
        return cut(record.event_id, _IN_LIST)

    @admin.display(description="handled")
    def handled(self, record: InboxMessage) -> str:
        return shown(record.handled_at)

    @admin.action(
        description="Delete the selected records",
        permissions=["forget"],
    )
    def delete_records(
        self, request: HttpRequest, chosen: QuerySet[InboxMessage]
    ) -> TemplateResponse | None:
        from django.contrib.admin.models import DELETION

        if (to_delete := confirmed(request, chosen)) is None:
            return ask(self, request, chosen, _CONFIRMATION, "Delete records?")
        with transaction.atomic(using=to_delete.db):
            self.note(request, DELETION, to_delete, lambda _: "Deleted the record.")
            count, _ = to_delete.delete()
        self.message_user(
            request,
            f"{count} record(s) deleted. If Pub/Sub redelivers the message of one, it is handled "
            "again.",
            messages.SUCCESS if count else messages.WARNING,
        )
        return None

    def has_forget_permission(self, request: HttpRequest) -> bool:
        return may(request, "rele_inbox.delete_inboxmessage")


def _has_inbox(alias: str) -> bool:
    """Whether the database has the inbox's table; one that cannot be reached has none now."""
    try:
        return InboxMessage._meta.db_table in connections[alias].introspection.table_names()
    except Exception:  # noqa: BLE001 - whatever its driver raises
        return False
