"""Looking for what is wrong with a project, without network and without Google's modules."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import pkgutil
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rele.backends import BaseBackend
from rele.config import Config, declared_in, prepare, same_name
from rele.problems import Problem
from rele.retry_policy import out_of_range
from rele.schema import DEFAULTS, SETTINGS
from rele.subscription import Subscription

BUILT_IN_BACKENDS = frozenset(
    {
        "rele.backends.pubsub.PubSubBackend",
        "rele.backends.console.ConsoleBackend",
        "rele.backends.locmem.LocMemBackend",
    }
)
"""Known without a look, which would load Google's modules."""

_EXTRAS = {name: f"Install it with `pip install 'rele[{name}]'`." for name in ("django", "flask")}
"""What to do where the package of that name is missing."""

_RESOURCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")


def problems_of_settings(settings: Any) -> list[Problem]:
    """What is wrong with the ``RELE`` dict and with what its paths lead to."""
    if not isinstance(settings, Mapping):
        return [
            Problem(
                "rele.E001",
                f"RELE must be a dict, not {settings!r}.",
                "Write RELE = {'GC_PROJECT_ID': 'my-project'}.",
            )
        ]
    problems = []
    for name, value in settings.items():
        if name not in SETTINGS:
            problems.append(_unknown(name))
        elif problem := SETTINGS[name].problem(name, value):
            problems.append(problem)
    wrong = {name for name in SETTINGS if any(f"[{name!r}]" in p.message for p in problems)}
    values = {**DEFAULTS, **settings}
    for name in SETTINGS:
        if name in _LOOKS and name not in wrong:
            problems += _LOOKS[name](name, values[name])
    return problems


def _unknown(name: Any) -> Problem:
    nearest = difflib.get_close_matches(str(name), SETTINGS, n=1, cutoff=0.0)
    return Problem(
        "rele.W001",
        f"RELE has the unknown setting {name!r}.",
        f"Did you mean {nearest[0]!r}? Else remove it.",
    )


def _look_at_class(name: str, path: str, base: type, what: str, example: str) -> Iterator[Problem]:
    """Import what ``path`` names; it must be a subclass of ``base``, or ``base`` itself."""
    hint = f"Write the dotted path of {what}, such as {example!r}."
    try:
        found = pkgutil.resolve_name(path)
    except Exception as error:  # noqa: BLE001 - the project's own code runs here
        yield Problem(
            "rele.E004",
            f"RELE[{name!r}] names {path!r}, which cannot be imported: "
            f"{type(error).__name__}: {error}.",
            _EXTRAS.get(getattr(error, "name", None) or "", hint),
        )
        return
    if not (isinstance(found, type) and issubclass(found, base)):
        yield Problem(
            "rele.E005",
            f"RELE[{name!r}] names {path!r}, which is not {what}.",
            hint,
        )


def _look_at_middleware(name: str, paths: Iterable[str]) -> Iterator[Problem]:
    for path in paths:
        yield from _look_at_class(
            name, path, object, "a middleware class", "rele.contrib.LoggingMiddleware"
        )


def _look_at_encoder(name: str, path: str) -> Iterator[Problem]:
    return _look_at_class(
        name,
        path,
        json.JSONEncoder,
        "a subclass of json.JSONEncoder",
        "django.core.serializers.json.DjangoJSONEncoder",
    )


def _look_at_backend(name: str, path: str) -> Iterator[Problem]:
    if path in BUILT_IN_BACKENDS:
        return iter(())
    return _look_at_class(
        name,
        path,
        BaseBackend,
        "a subclass of rele.backends.BaseBackend",
        DEFAULTS["PUBLISHER_BACKEND"],
    )


def _look_at_retry_policy(name: str, policy: Any) -> Iterator[Problem]:
    if policy is not None and (complaint := out_of_range(policy)):
        yield _retry_policy_problem(f"RELE[{name!r}]", complaint)


def _look_at_credentials(name: str, path: str | None) -> Iterator[Problem]:
    if path is None or os.environ.get("PUBSUB_EMULATOR_HOST"):
        return
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a str may be all there is
            kind = json.load(file).get("type")
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, AttributeError):
        reason = "it is no JSON object"
    else:
        if kind == "service_account":
            return
        reason = f"its type is {kind!r}, not 'service_account'"
    yield Problem(
        "rele.W002",
        f"RELE[{name!r}] = {path!r} is not the key file of a service account: {reason}.",
        "Write the path of the JSON key of a service account, or leave the setting out to use "
        "Application Default Credentials.",
    )


_LOOKS = {
    "DEFAULT_RETRY_POLICY": _look_at_retry_policy,
    "ENCODER_PATH": _look_at_encoder,
    "GC_CREDENTIALS_PATH": _look_at_credentials,
    "MIDDLEWARE": _look_at_middleware,
    "PUBLISHER_BACKEND": _look_at_backend,
}


def _retry_policy_problem(where: str, complaint: str) -> Problem:
    return Problem("rele.E008", f"{where}: {complaint}", "Write RetryPolicy(10, 600).")


def find_subscriptions(
    module_paths: Iterable[str], config: Config
) -> tuple[list[Subscription], list[Problem]]:
    """Import subs modules; return what they declare, and what is wrong with it."""
    subscriptions: dict[int, Subscription] = {}
    problems: list[Problem] = []
    for path in module_paths:
        try:
            for declared in declared_in(importlib.import_module(path)):
                subscriptions[id(declared)] = prepare(declared, config.sub_prefix, config.filter_by)
        except Exception as error:  # noqa: BLE001 - the project's own code runs here
            problems.append(_not_importable(path, error))
    found = list(subscriptions.values())
    return found, problems + problems_of_subscriptions(found)


def problems_of_subscriptions(subscriptions: Iterable[Subscription]) -> list[Problem]:
    """What Pub/Sub would refuse in them, and names that stand for two."""
    problems: list[Problem] = []
    by_name: dict[str, Subscription] = {}
    for subscription in subscriptions:
        other = by_name.setdefault(subscription.name, subscription)
        if not other.has_function_of(subscription):
            problems.append(
                Problem("rele.E006", same_name(other, subscription), "Write @sub(…, suffix='…').")
            )
        problems += _refused_names(subscription)
        policy = subscription.retry_policy
        if policy is not None and (complaint := out_of_range(policy)):
            problems.append(_retry_policy_problem(subscription.path, complaint))
    return problems


def _not_importable(path: str, error: Exception) -> Problem:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return Problem(
        "rele.W003",
        f"The subs module {path!r} cannot be imported: {type(error).__name__}: {error} "
        f"({place.filename}, line {place.lineno}).",
        "Mend it: until then its subscriptions are not consumed.",
    )


def _refused_names(subscription: Subscription) -> Iterator[Problem]:
    for kind, name in (("topic", subscription.topic), ("subscription", subscription.name)):
        if not _RESOURCE_NAME.fullmatch(name) or name.startswith("goog"):
            yield Problem(
                "rele.E007",
                f"{subscription.path}: Pub/Sub refuses the {kind} name {name!r}.",
                "Write 3 to 255 characters: letters, digits and -_.~+%, a letter first, and not "
                "`goog`.",
            )
