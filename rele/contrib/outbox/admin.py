"""The outbox in Django's admin, read-only except that messages can be retried or discarded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from rele import config
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.models import OutboxMessage, Relay, State
from rele.contrib.outbox.payloads import readable
from rele.contrib.outbox.upkeep import discard, retry
from rele.management.admin import (
    DatabaseFilter,
    ReadOnlyAdmin,
    RecentValuesFilter,
    ask,
    confirmed,
    cut,
    first_of,
    may,
    shown,
    written_before,
)

_IN_LIST = 120
"""How many characters of a text the list shows."""

_CONFIRMATION = "admin/rele_outbox/outboxmessage/confirm_discard.html"

_LATE = "If a relay had taken one of them already, it may still be sent."


class _OutboxAdmin(ReadOnlyAdmin):
    """Of the databases that the outbox is in."""

    def databases(self) -> Sequence[str]:
        return OutboxSettings.in_config(config.current()).aliases


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
                return written_before(queryset, timezone.now() - age, "created_at")
        return queryset


class TopicFilter(RecentValuesFilter):
    """Filters by a topic that a new message has. Others can be searched for."""

    title = "topic"
    parameter_name = "topic"


@admin.register(OutboxMessage)
class OutboxMessageAdmin(_OutboxAdmin):
    class Media:
        css = {"all": ("rele_outbox/admin.css",)}  # noqa: RUF012 - as Django declares it

    heavy = ("data",)
    list_display = ("message", "progress", "error", "written")
    list_filter = (DatabaseFilter, "state", AgeFilter, TopicFilter)
    search_fields = ("event_id", "topic", "ordering_key")
    search_help_text = "An event id, a topic or an ordering key, whole."
    fields = (
        "event_id",
        "topic",
        "ordering_key",
        "badge",
        "written_at",
        "attempts",
        "next_attempt",
        "last_error",
        "sent",
        "all_attributes",
        "payload",
    )
    actions = ("retry_messages", "discard_messages")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Whole and as it is written: what ignores case would read each row's key for it."""
        if not search_term:
            return queryset, False
        term = search_term.strip()
        return queryset.filter(Q(event_id=term) | Q(topic=term) | Q(ordering_key=term)), False

    @admin.display(description="message")
    def message(self, message: OutboxMessage) -> str:
        key = cut(message.ordering_key, _IN_LIST // 2)
        return format_html(
            '<span class="rele-topic">{}</span><span class="rele-id">{}</span>{}',
            cut(message.topic, _IN_LIST),
            cut(message.event_id, _IN_LIST),
            format_html('<span class="rele-key">key {}</span>', key) if key else "",
        )

    @admin.display(description="state")
    def badge(self, message: OutboxMessage) -> str:
        state = State(message.state).label
        return format_html('<span class="rele-state rele-{}">{}</span>', state, state)

    @admin.display(description="state")
    def progress(self, message: OutboxMessage) -> str:
        """The state, how often it was refused, and when it is tried next."""
        notes = [f"{message.attempts} attempt(s)"] if message.attempts else []
        if message.state in (State.DELAYED, State.SCHEDULED):
            notes.append(f"next {shown(message.next_attempt_at)}")
        return format_html(
            "{}{}",
            self.badge(message),
            format_html_join("", '<span class="rele-note">{}</span>', ((note,) for note in notes)),
        )

    @admin.display(description="last error")
    def error(self, message: OutboxMessage) -> str:
        return cut(message.last_error, _IN_LIST)

    @admin.display(description="written")
    def written(self, message: OutboxMessage) -> str:
        return shown(message.created_at)

    @admin.display(description="written")
    def written_at(self, message: OutboxMessage) -> str:
        return shown(message.created_at, with_zone=True)

    @admin.display(description="next attempt")
    def next_attempt(self, message: OutboxMessage) -> str:
        is_due_later = message.state in (State.DELAYED, State.SCHEDULED)
        return shown(message.next_attempt_at if is_due_later else None, with_zone=True)

    @admin.display(description="sent")
    def sent(self, message: OutboxMessage) -> str:
        return shown(message.sent_at, with_zone=True)

    @admin.display(description="attributes")
    def all_attributes(self, message: OutboxMessage) -> str:
        return _as_block(json.dumps(message.attributes, indent=2, ensure_ascii=False))

    @admin.display(description="payload")
    def payload(self, message: OutboxMessage) -> str:
        return _as_block(readable(message))

    @admin.action(description="Retry the selected messages now", permissions=["retry"])
    def retry_messages(self, request: HttpRequest, chosen: QuerySet[OutboxMessage]) -> None:
        from django.contrib.admin.models import CHANGE

        def note(retried: list[OutboxMessage]) -> None:
            self.note(request, CHANGE, retried, lambda each: f"Retried: it was {_history(each)}.")

        count = retry(first_of(chosen), note)
        left = "" if count else " Only what was refused and is not sent yet can be retried."
        self._say(request, count, f"{count} message(s) will be retried now.{left}")

    @admin.action(description="Discard the selected messages, for good", permissions=["discard"])
    def discard_messages(
        self, request: HttpRequest, chosen: QuerySet[OutboxMessage]
    ) -> TemplateResponse | None:
        from django.contrib.admin.models import DELETION

        if (to_discard := confirmed(request, chosen)) is None:
            states = Counter(first_of(chosen).order_by().values_list("state", flat=True))
            counts = [(State(state).label, states[state]) for state in sorted(states)]
            return ask(
                self, request, chosen, _CONFIRMATION, "Discard messages for good?", counts=counts
            )
        unsent = False

        def note(discarded: list[OutboxMessage]) -> None:
            nonlocal unsent
            unsent = unsent or any(each.state != State.SENT for each in discarded)
            self.note(
                request, DELETION, discarded, lambda each: f"Discarded: it was {_history(each)}."
            )

        count = discard(to_discard, note)
        left = f" {_LATE}" if unsent else "" if count else " They are no longer there."
        self._say(request, count, f"{count} message(s) discarded.{left}")
        return None

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request, "rele_outbox.retry_outboxmessage")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return may(request, "rele_outbox.discard_outboxmessage")

    def _say(self, request: HttpRequest, count: int, text: str) -> None:
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)


@admin.register(Relay)
class RelayAdmin(_OutboxAdmin):
    list_display = ("name", "sent", "per_second", "seen")
    list_filter = (DatabaseFilter,)
    fields = ("name", "sent", "per_second", "seen")

    @admin.display(description="messages a second")
    def per_second(self, relay: Relay) -> str:
        return f"{relay.rate:.1f}"

    @admin.display(description="seen")
    def seen(self, relay: Relay) -> str:
        return shown(relay.seen_at)


def _as_block(text: str) -> str:
    """Escaped, since it may come from anybody."""
    return format_html('<pre class="rele-text">{}</pre>', text)


def _history(message: OutboxMessage) -> str:
    """The state that a message was in, and how often it was refused."""
    attempts = f" after {message.attempts} attempt(s)" if message.attempts else ""
    return f"{State(message.state).label}{attempts}"
