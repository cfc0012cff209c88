"""Finding what is wrong with a project, without network and without Google's clients."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rele.backends import BaseBackend
from rele.config import Config, stated_twice, unusable_credentials
from rele.dead_letter_policy import ADVISED_ATTEMPTS, DeadLetterPolicy
from rele.declaration.loading import declared_in, prepare, same_name
from rele.declaration.options import ALIASES, DEFAULT_OPTIONS, DEFAULTS_WITHOUT_OPTION
from rele.declaration.subscription import Subscription
from rele.endpoint import emulator_named, is_global, pubsub_address, uses_emulator
from rele.exceptions import ConfigurationError, import_failure
from rele.messages.limits import RESOURCE_NAME_RULE, is_resource_name
from rele.project.backlogs import problems_of_backlog
from rele.project.batches import problems_of_batches
from rele.project.extensions import (
    Room,
    problems_of_rooms,
    rooms_in_use,
    rooms_not_in_use,
    unusable,
)
from rele.retry_policy import out_of_range
from rele.schema.keys import problems_of_keys, problems_of_waits
from rele.schema.kinds import is_function_of_payload
from rele.schema.problems import Problem, about
from rele.schema.settings import DEFAULTS, SETTINGS, Setting

BUILT_IN_BACKENDS = frozenset(
    {
        "rele.backends.pubsub.PubSubBackend",
        "rele.backends.console.ConsoleBackend",
        "rele.backends.locmem.LocMemBackend",
    }
)
"""Known without importing them, which would load Google's modules."""

_PACKAGES = {"django": "django", "flask": "flask", "prometheus_client": "prometheus"}
_EXTRAS = {name: f"Install it with `pip install 'rele[{e}]'`." for name, e in _PACKAGES.items()}
"""What to do where the package of that name is missing."""


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
    problems = [*problems_of_rooms(), *_without_effect(settings)]
    others = {key: settings[key] for key in settings if key not in {p.setting for p in problems}}
    problems += problems_of_keys(others, _settings_in_use(), "RELE")
    problems += _stated_twice(settings)
    if can_be_configured(problems):
        problems += problems_of_waits(settings)
    wrong = {problem.setting for problem in problems}
    values = {**DEFAULTS, **settings}
    for name, look in _LOOKS.items():
        if name not in wrong:
            problems += about(name, look(name, values[name]))
    if can_be_configured(problems):
        problems += _problems_of_environment(settings)
    for room in rooms_in_use():
        if not wrong & room.settings.keys():
            problems += _problems_of_room(room, settings)
    return list(dict.fromkeys(problems))  # two rooms may have the same to say


_NO_CONFIGURATION = ("rele.E001", "rele.E002", "rele.E003", "rele.E009")


def can_be_configured(problems: Iterable[Problem]) -> bool:
    """Whether a :class:`Config` can be made of settings that have these ``problems``."""
    return not any(problem.id in _NO_CONFIGURATION for problem in problems)


def _problems_of_environment(settings: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        Config(settings)
    except ConfigurationError as error:
        hint = "Correct DEFAULT_ACK_DEADLINE in the environment, or unset it."
        yield Problem("rele.E003", str(error), hint, "ACK_DEADLINE")


def problems_of_deployment() -> Iterator[Problem]:
    """What is wrong only where the project is in production."""
    if emulator_named():
        yield Problem(
            "rele.W006",
            "PUBSUB_EMULATOR_HOST is set: nothing reaches Google Cloud Pub/Sub.",
            "Unset it in the environment of the deployment.",
        )


def _settings_in_use() -> dict[str, Setting]:
    """The keys that ``RELE`` may have: Relé's own, and those of the rooms in use."""
    return SETTINGS | {key: kind for room in rooms_in_use() for key, kind in room.settings.items()}


def _without_effect(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """The keys of rooms that are not in use."""
    in_use = _settings_in_use()
    for room in rooms_not_in_use():
        for name in settings.keys() & room.settings.keys() - in_use.keys():
            yield Problem(
                "rele.W008",
                f"RELE has the setting {name!r} of {room.name!r}, which is not installed: the "
                "setting has no effect.",
                f"{room.remedy} Or remove the setting.",
                name,
            )


def _problems_of_room(room: Room, settings: Mapping[str, Any]) -> Iterator[Problem]:
    if room.problems is None:
        return
    try:
        yield from room.problems(settings)
    except Exception as error:  # noqa: BLE001 - the room may be another package's
        yield unusable(room.name, f"its checks failed: {type(error).__name__}: {error}")


def _stated_twice(settings: Mapping[str, Any]) -> Iterator[Problem]:
    defaults = settings.get("SUBSCRIPTION_DEFAULTS")
    for alias, key in ALIASES.items():
        if isinstance(defaults, Mapping) and None not in (settings.get(alias), defaults.get(key)):
            yield Problem(
                "rele.E009",
                stated_twice(alias, key),
                f"Keep RELE['SUBSCRIPTION_DEFAULTS'][{key!r}].",
                alias,
            )


def _look_at_class(where: str, path: str, base: type, what: str, example: str) -> Iterator[Problem]:
    """Import what ``path`` names; it must be a subclass of ``base``, or ``base`` itself."""

    def is_right(found: object) -> bool:
        return isinstance(found, type) and issubclass(found, base)

    return _look_at_path(where, path, is_right, what, example)


def _look_at_path(
    where: str, path: str, is_right: Callable[[Any], bool], what: str, example: str
) -> Iterator[Problem]:
    """Import what ``path`` names; it must be ``what``."""
    hint = f"Write the dotted path of {what}, such as {example!r}."
    try:
        found = _resolve(path)
    except Exception as error:  # noqa: BLE001 - the project's own code runs here
        yield Problem(
            "rele.E004",
            f"{where} names {path!r}, which cannot be imported: {type(error).__name__}: {error}.",
            _EXTRAS.get(getattr(error, "name", None) or "", hint),
        )
        return
    if not is_right(found):
        yield Problem(
            "rele.E005",
            f"{where} names {path!r}, which is not {what}.",
            hint,
        )


def _place(name: str) -> str:
    return f"RELE[{name!r}]"


def _resolve(path: str) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except AttributeError:
        # A module that exists but cannot be imported gives its own error here.
        importlib.import_module(path.rpartition(".")[0])
        raise


def _look_at_middleware(name: str, paths: Iterable[str]) -> Iterator[Problem]:
    for path in paths:
        yield from _look_at_class(
            _place(name), path, object, "a middleware class", "rele.contrib.LoggingMiddleware"
        )


def _look_at_encoder(name: str, path: str) -> Iterator[Problem]:
    return _look_at_class(
        _place(name),
        path,
        json.JSONEncoder,
        "a subclass of json.JSONEncoder",
        "django.core.serializers.json.DjangoJSONEncoder",
    )


def _is_decoder(found: Any) -> bool:
    is_class = isinstance(found, type) and issubclass(found, json.JSONDecoder)
    return is_class or is_function_of_payload(found)


def _look_at_decoder(name: str, path: str) -> Iterator[Problem]:
    return _look_at_path(
        _place(name),
        path,
        _is_decoder,
        "a subclass of json.JSONDecoder, or a function of the payload",
        "json.JSONDecoder",
    )


def _look_at_publisher_backend(name: str, path: str) -> Iterator[Problem]:
    return problems_of_backend(_place(name), path)


def problems_of_backend(where: str, path: str) -> Iterator[Problem]:
    """What is wrong with the dotted path of a backend; ``where`` names the setting."""
    if path in BUILT_IN_BACKENDS or any(path in room.backends for room in rooms_in_use()):
        return
    for room in rooms_not_in_use():
        if path in room.backends:
            yield Problem(
                "rele.E012",
                f"{where} is {path!r}, but its app {room.app!r} is not installed.",
                room.remedy,
            )
            return
    yield from _look_at_class(
        where,
        path,
        BaseBackend,
        "a subclass of rele.backends.BaseBackend",
        DEFAULTS["PUBLISHER_BACKEND"],
    )


def _look_at_credentials(name: str, path: str | None) -> Iterator[Problem]:
    if path is None or uses_emulator():
        return
    # Loads google-auth, but only for a project that names a file, and connects to nobody.
    from rele.engine.google.credentials import read_credentials_file

    try:
        read_credentials_file(path)
    except ValueError as error:
        yield Problem(
            "rele.W002",
            unusable_credentials(name, path, error),
            "Write the path of a service account's key, of the configuration of workload identity "
            "federation or impersonation, or of a user's credentials, or leave the setting out to "
            "use Application Default Credentials.",
        )


def _look_at_subscription_defaults(name: str, defaults: Mapping[str, Any]) -> Iterator[Problem]:
    known = {**DEFAULT_OPTIONS, **DEFAULTS_WITHOUT_OPTION}
    where = f"RELE[{name!r}]"
    stated = {key: value for key, value in defaults.items() if value is not None}
    wrong = list(problems_of_keys(stated, known, where))
    yield from wrong
    if not wrong:
        for key in _OPTION_LOOKS.keys() & stated.keys():
            yield from _OPTION_LOOKS[key](f"{where}[{key!r}]", stated[key])


def _look_at_backoffs(where: str, policy: Any) -> Iterator[Problem]:
    if complaint := out_of_range(policy):
        yield _retry_policy_problem(where, complaint)


def _look_at_default_retry_policy(name: str, policy: Any) -> Iterator[Problem]:
    return iter(()) if policy is None else _look_at_backoffs(f"RELE[{name!r}]", policy)


def _look_at_dead_letter_policy(where: str, policy: DeadLetterPolicy) -> Iterator[Problem]:
    if policy.max_delivery_attempts < ADVISED_ATTEMPTS:
        yield Problem(
            "rele.W007",
            f"{where}: a message becomes a dead letter after {policy.max_delivery_attempts} "
            "deliveries. Those that a stopping worker nacks count, too, so with frequent deploys "
            "that may be early for a message that would be handled.",
            f"{ADVISED_ATTEMPTS} or more leave room for that: "
            f"DeadLetterPolicy(max_delivery_attempts={ADVISED_ATTEMPTS}). If it is meant so, "
            "silence this check.",
        )


_OPTION_LOOKS: dict[str, Callable[[str, Any], Iterator[Problem]]] = {
    "dead_letter_policy": _look_at_dead_letter_policy,
    "retry_policy": _look_at_backoffs,
}
"""What is looked at in an option's value besides its kind and range."""

_LOOKS: dict[str, Callable[[str, Any], Iterable[Problem]]] = {
    "BACKLOG": problems_of_backlog,
    "DECODER_PATH": _look_at_decoder,
    "DEFAULT_RETRY_POLICY": _look_at_default_retry_policy,
    "ENCODER_PATH": _look_at_encoder,
    "GC_CREDENTIALS_PATH": _look_at_credentials,
    "MIDDLEWARE": _look_at_middleware,
    "PUBLISHER_BACKEND": _look_at_publisher_backend,
    "SUBSCRIPTION_DEFAULTS": _look_at_subscription_defaults,
}


def _retry_policy_problem(where: str, complaint: str) -> Problem:
    return Problem("rele.E008", f"{where}: {complaint}", "Write RetryPolicy(10, 600).")


def find_subscriptions(
    module_paths: Iterable[str], config: Config
) -> tuple[list[Subscription], list[Problem]]:
    """Import subs modules; return what they declare, each once, and what is wrong with it."""
    found: list[Subscription] = []
    problems: list[Problem] = []
    for path in module_paths:
        try:
            for declared in declared_in(importlib.import_module(path)):
                subscription = prepare(declared, config.sub_prefix, config.filter_by)
                if not any(_are_one(subscription, other) for other in found):
                    found.append(subscription)
        except Exception as error:  # noqa: BLE001 - the project's own code runs here
            problems.append(_not_importable(path, error))
    problems += problems_of_subscriptions(found)
    problems += problems_of_batches(found, config)
    return found, [*problems, *_problems_of_order(found, config)]


def _are_one(one: Subscription, other: Subscription) -> bool:
    """Whether they are the same one, imported twice, or instances of one class."""
    return one.name == other.name and one.has_function_of(other)


def problems_of_subscriptions(subscriptions: Iterable[Subscription]) -> list[Problem]:
    """Names and options that Pub/Sub would refuse, and names that two subscriptions share."""
    problems: list[Problem] = []
    by_name: dict[str, Subscription] = {}
    for subscription in subscriptions:
        other = by_name.setdefault(subscription.name, subscription)
        if not _are_one(other, subscription):
            problems.append(
                Problem("rele.E006", same_name(other, subscription), "Write @sub(…, suffix='…').")
            )
        problems += _refused_names(subscription)
        stated = subscription.options.stated()
        for option in _OPTION_LOOKS.keys() & stated.keys():
            problems += _OPTION_LOOKS[option](subscription.path, stated[option])
    return problems


def _problems_of_order(subscriptions: Iterable[Subscription], config: Config) -> Iterator[Problem]:
    """Whether messages of an ordering key may be published in several regions."""
    ordered = [
        each.path
        for each in subscriptions
        if each.options.over(config.subscription_defaults).enable_message_ordering
    ]
    try:
        address = pubsub_address(config.client_options)
    except ConfigurationError:  # whoever connects reports it
        return
    if ordered and is_global(address, config.client_options):
        yield Problem(
            "rele.W010",
            f"Messages are published at the global endpoint, {address}, but Pub/Sub keeps the "
            "order of an ordering key only among messages that are published in one region. With "
            f"message ordering: {', '.join(ordered)}.",
            "Publish at the endpoint of one region: RELE['CLIENT_OPTIONS'] = {'api_endpoint': "
            "'REGION-pubsub.googleapis.com:443'}. For each ordering key Pub/Sub accepts 1 MB/s at "
            "most.",
        )


def _not_importable(path: str, error: Exception) -> Problem:
    return Problem(
        "rele.W003",
        import_failure(f"The subs module {path!r}", error),
        "Fix it: until then its subscriptions are not consumed.",
    )


def _refused_names(subscription: Subscription) -> Iterator[Problem]:
    for kind, name in (("topic", subscription.topic), ("subscription", subscription.name)):
        if not is_resource_name(name):
            yield Problem(
                "rele.E007",
                f"{subscription.path}: Pub/Sub refuses the {kind} name {name!r}.",
                f"Write {RESOURCE_NAME_RULE}.",
            )
