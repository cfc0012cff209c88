"""The pages about the dead letters of one subscription: looking at them, replaying a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from rele.cli.subscriptions import NOT_IN_THE_WAY
from rele.config import Config
from rele.contrib.admin import letters
from rele.contrib.admin.models import Subscription
from rele.exceptions import ReleError
from rele.management.admin import may
from rele.management.project import load_django_project


class Pages(Protocol):
    """The part of the model admin that this module uses."""

    def url(self, view: str, name: str) -> str: ...
    def page(
        self, request: HttpRequest, template: str, context: Mapping[str, Any]
    ) -> TemplateResponse: ...
    def note(
        self, request: HttpRequest, flag: int, rows: Iterable[Any], describe: Callable[[Any], str]
    ) -> None: ...
    def message_user(self, request: HttpRequest, message: str, level: int) -> None: ...


def may_replay(request: HttpRequest) -> bool:
    return may(request, "rele_admin.replay_deadletter")


def letters_page(admin: Pages, request: HttpRequest, name: str) -> HttpResponse:
    """Say what looking does; with a POST, look."""
    found, problem = None, ""
    if request.method == "POST":
        try:
            found = letters.look(_config(), name)
        except ReleError as error:
            problem = str(error)
    context = {
        "title": f"Dead letters of {name}",
        "found": found,
        "problem": problem,
        "may_replay": may_replay(request),
        "replay_url": admin.url("replay", name),
    }
    return _answer(admin, request, name, "letters.html", context)


def replay_page(admin: Pages, request: HttpRequest, name: str) -> HttpResponse:
    """Ask whether to replay the dead letters of one fault; if that is confirmed, replay them."""
    if not may_replay(request):
        raise PermissionDenied
    key = request.POST.get("group", "")
    fault = letters.fault_of(key)
    if request.method != "POST" or fault is None:
        return HttpResponseRedirect(admin.url("letters", name))
    if "confirmed" not in request.POST:
        context = {
            "title": f"Replay dead letters of {name}?",
            "group": key,
            "fault": letters.fault_in_words(fault),
            "most": letters.MOST,
            "back_url": admin.url("letters", name),
        }
        return _answer(admin, request, name, "confirm_replay.html", context)
    _replay(admin, request, name, fault)
    return HttpResponseRedirect(admin.url("letters", name))


def _config() -> Config:
    return load_django_project().require_config(ignoring=NOT_IN_THE_WAY)


def _replay(admin: Pages, request: HttpRequest, name: str, fault: letters.Fault) -> None:
    try:
        outcome = letters.replay(_config(), name, fault)
    except ReleError as error:
        admin.message_user(request, str(error), messages.ERROR)
        return
    said = " ".join(letters.in_words(outcome))
    what = f"Dead letters {letters.fault_in_words(fault)}: {said}"
    admin.note(request, CHANGE, [Subscription(name=name)], lambda _: what)
    admin.message_user(request, said, messages.SUCCESS if outcome.is_complete else messages.WARNING)


def _answer(
    admin: Pages,
    request: HttpRequest,
    name: str,
    template: str,
    context: dict[str, Any],
) -> TemplateResponse:
    names = {"name": name, "url": admin.url("change", name)}
    return admin.page(request, template, {**names, **context})
