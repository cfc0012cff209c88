"""The outbox in Django's admin, read-only except that messages can be retried or discarded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from rele import config
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.models import OutboxMessage, Relay
from rele.contrib.outbox.upkeep import discard, retry

SHOWN_CHARACTERS = 10_000
"""How many characters of a payload the message's page shows."""

_IN_LIST = 80
"""How many characters of an error the list shows."""


class _ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows what is in the outbox's database, and changes nothing."""

    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        alias = OutboxSettings.in_config(config.current()).alias
        return super().get_queryset(request).using(alias)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AgeFilter(admin.SimpleListFilter):
    """Filters by how long ago a message was written."""

    title = "age"
    parameter_name = "age"

    AGES = (
        ("minute", "more than a minute", timedelta(minutes=1)),
        ("hour", "more than an hour", timedelta(hours=1)),
        ("day", "more than a day", timedelta(days=1)),
        ("week", "more than a week", timedelta(weeks=1)),
    )

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, label, _ in self.AGES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, _, age in self.AGES:
            if name == self.value():
                return queryset.filter(created_at__lt=timezone.now() - age)
        return queryset


@admin.register(OutboxMessage)
class OutboxMessageAdmin(_ReadOnlyAdmin):
    list_display = (
        "event_id",
        "state",
        "topic",
        "ordering_key",
        "attempts",
        "error",
        "created_at",
    )
    list_filter = ("state", AgeFilter, "topic")
    search_fields = ("=event_id", "=topic", "=ordering_key")
    search_help_text = "An event id, a topic or an ordering key, whole."
    ordering = ("-id",)
    list_per_page = 50
    fields = (
        "event_id",
        "topic",
        "ordering_key",
        "payload",
        "attributes",
        "state",
        "created_at",
        "attempts",
        "next_attempt_at",
        "last_error",
        "sent_at",
    )
    actions = ("retry_messages", "discard_messages")

    @admin.display(description="last error")
    def error(self, message: OutboxMessage) -> str:
        return _cut(message.last_error, _IN_LIST)

    @admin.display(description="payload")
    def payload(self, message: OutboxMessage) -> str:
        """As text. The admin escapes it, since it may come from anybody."""
        return _cut(bytes(message.data).decode("utf-8", "replace"), SHOWN_CHARACTERS)

    @admin.action(description="Retry the selected messages now", permissions=["retry"])
    def retry_messages(self, request: HttpRequest, chosen: QuerySet[OutboxMessage]) -> None:
        self._say_what_was_done(request, retry(chosen), "will be retried now")

    @admin.action(description="Discard the selected messages, for good", permissions=["discard"])
    def discard_messages(self, request: HttpRequest, chosen: QuerySet[OutboxMessage]) -> None:
        self._say_what_was_done(request, discard(chosen), "discarded")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return _may(request.user, "rele_outbox.retry_outboxmessage")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return _may(request.user, "rele_outbox.discard_outboxmessage")

    def _say_what_was_done(self, request: HttpRequest, count: int, done: str) -> None:
        left = "" if count else " They were sent, or a relay is sending them now."
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, f"{count} message(s) {done}.{left}", level)


@admin.register(Relay)
class RelayAdmin(_ReadOnlyAdmin):
    list_display = ("name", "seen_at")


def _may(user: Any, permission: str) -> bool:
    allowed: bool = user.has_perm(permission)
    return allowed


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters)"
