"""The page: subscriptions in Django's admin, which can be looked at, paused and resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from rele.contrib.admin import contexts
from rele.contrib.admin.actions import ACTIONS, MOST_THREADS, Action, AnswerError
from rele.contrib.admin.exceptions import PageError, explained_errors
from rele.contrib.admin.letter_pages import letters_page, replay_page
from rele.contrib.admin.models import Subscription
from rele.contrib.admin.rooms import panels_of
from rele.contrib.admin.server_state import WATCH
from rele.management.admin import ReadOnlyAdmin, may, shown
from rele.management.project import load_django_project

EVERY = 5
"""Seconds between two updates of a page that is looked at."""

PART = "X-Rele-Part"
"""The request header of a page that updates itself."""

_TEMPLATES = "admin/rele_admin/subscription"


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    class Media:
        css = {"all": ("rele_admin/page.css",)}  # noqa: RUF012 - as Django declares it
        js = ("rele_admin/page.js",)

    def databases(self) -> Sequence[str]:
        return [router.db_for_write(Subscription)]

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Any] = {
            **{f"{name}/": (self.action_view, {"action": name}, name) for name in ACTIONS},
            "deadletters/replay/": (self.replay_view, {}, "replay"),
            "deadletters/": (self.letters_view, {}, "letters"),
            "": (self.change_view, {}, "change"),
        }
        view = self.admin_site.admin_view
        prefix = "rele_admin_subscription"
        return [
            path("", view(self.changelist_view), name=f"{prefix}_changelist"),
            *(
                path(f"<path:object_id>/{end}", view(function), more, name=f"{prefix}_{name}")
                for end, (function, more, name) in views.items()
            ),
        ]

    def url(self, view: str, name: str) -> str:
        """The address of a view about the subscription ``name``."""
        site = self.admin_site.name
        return reverse(
            f"admin:rele_admin_subscription_{view}", args=[quote(name)], current_app=site
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """All subscriptions."""
        self._require_view(request)
        try:
            context = contexts.overview(load_django_project(), WATCH, self.url)
            rooms, figures = panels_of(self.admin_site, request, context["figures"])
            context.update(rooms=rooms, figures=figures)
        except PageError as error:
            context = {"problem": str(error)}
        return self._living_page(request, "_overview.html", {"title": "Subscriptions", **context})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """One subscription."""
        self._require_view(request)
        name = unquote(object_id)
        try:
            context = contexts.details(load_django_project(), WATCH, self.url, name)
        except PageError as error:
            context = {"problem": str(error)}
        if context is None:
            raise Http404(_unknown(name))
        return self._living_page(request, "_detail.html", {"title": name, "name": name, **context})

    def action_view(self, request: HttpRequest, object_id: str, action: str) -> HttpResponse:
        """Ask whether to do something with one subscription; with a POST, do it."""
        self._require_view(request)
        if not self.has_pause_permission(request):
            raise PermissionDenied
        name, chosen = unquote(object_id), ACTIONS[action]
        error = ""
        try:
            self._require_known(name)
            if request.method == "POST":
                self._carry_out(request, name, chosen)
                return HttpResponseRedirect(self.url("change", name))
        except (AnswerError, PageError) as failure:
            error = str(failure)
        return self._question(request, name, chosen, error)

    def letters_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The dead letters of one subscription."""
        return letters_page(self, request, self._name_to_read(request, object_id))

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Replay some of the dead letters of one subscription."""
        return replay_page(self, request, self._name_to_read(request, object_id))

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return may(request, "rele_admin.pause_subscription")

    def page(
        self, request: HttpRequest, template: str, context: Mapping[str, Any]
    ) -> TemplateResponse:
        """A whole page of the admin."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"{_TEMPLATES}/{template}",
            {
                **self.admin_site.each_context(request),
                "opts": self.model._meta,
                "media": self.media,
                **context,
            },
        )

    def _living_page(
        self, request: HttpRequest, part: str, context: Mapping[str, Any]
    ) -> TemplateResponse:
        """A page; where it updates itself, only the part that changes."""
        context = {
            **context,
            "as_of": shown(timezone.now(), with_zone=True),
            "may_pause": self.has_pause_permission(request),
        }
        if PART in request.headers:
            return TemplateResponse(request, f"{_TEMPLATES}/{part}", context)
        fragment = f"{_TEMPLATES}/{part}"
        return self.page(request, "page.html", {**context, "every": EVERY, "fragment": fragment})

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _require_known(self, name: str) -> None:
        if not contexts.is_known(load_django_project(), name):
            raise Http404(_unknown(name))

    def _name_to_read(self, request: HttpRequest, object_id: str) -> str:
        """The name of a known subscription, for who may view it."""
        self._require_view(request)
        name = unquote(object_id)
        try:
            self._require_known(name)
        except PageError as error:
            raise Http404(str(error)) from error
        return name

    def _question(
        self, request: HttpRequest, name: str, action: Action, error: str
    ) -> TemplateResponse:
        threads: object = request.POST.get("threads", "")
        if action.asks_threads and not error:
            decision = Subscription.objects.filter(name=name).first()
            threads = (decision and decision.threads) or ""
        return self.page(
            request,
            "confirm_action.html",
            {
                "title": action.title.format(name=name),
                "name": name,
                "consequences": action.consequences,
                "answer": action.yes,
                "url": self.url("change", name),
                "asks_threads": action.asks_threads,
                "most_threads": MOST_THREADS,
                "threads": threads,
                "error": error,
            },
        )

    def _carry_out(self, request: HttpRequest, name: str, action: Action) -> None:
        user: Any = request.user
        with explained_errors(), transaction.atomic(using=self.databases()[0]):
            decision, done = action.carry_out(name, user.get_username(), request.POST.dict())
            self.note(request, CHANGE, [decision], lambda _: done)
        self.message_user(request, f"{done} Workers notice within 5 s.", messages.SUCCESS)


def _unknown(name: str) -> str:
    return f"There is no subscription {name!r}."
