"""The configuration made from ``RELE``, and where it comes from."""

from __future__ import annotations

import json
import os
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from rele import discover
from rele.backends import BaseBackend
from rele.declaration.filters import Filters
from rele.declaration.loading import load_subscriptions_from_paths as load_subscriptions_from_paths
from rele.declaration.options import ALIASES, DEFAULT_OPTIONS, SubscriptionOptions
from rele.endpoint import uses_emulator
from rele.engine.connection import Connection
from rele.engine.publisher_options import PublisherOptions
from rele.exceptions import ConfigurationError, NoSettingsError, import_failure
from rele.messages.payload_view import PayloadView
from rele.middleware import register_first, register_middleware
from rele.runtime.in_use import IN_USE
from rele.schema.settings import DEFAULT_ACK_DEADLINE, DEFAULTS, SETTINGS

EMULATOR_PROJECT = "rele-local"
"""The project under an emulator if none is configured; an emulator accepts any project."""


def get_google_defaults() -> tuple[Any, str | None]:
    """Return Application Default Credentials and their project: see :mod:`rele.client`."""
    from rele import client

    return client.get_google_defaults()


def init_global_publisher(config: Config) -> None:
    """Let :func:`rele.publish` use ``config``; the first publish makes the publisher.

    A publisher that was made for equal settings stays in use. Otherwise the former publisher sends
    its messages and is closed.
    """
    IN_USE.use(config)


class Config:
    """The ``RELE`` dict, with the defaults filled in.

    Making a Config reads no file and opens no connection; the first access to ``credentials`` or
    ``gc_project_id`` may do so.

    Raises:
        ConfigurationError: the ack deadline, an option of subscriptions, the engine or an option of
            its publisher cannot be used.
    """

    def __init__(self, setting: Mapping[str, Any]) -> None:
        values = {**DEFAULTS, **setting}
        self.given = _copy(values)
        stated = stated_defaults(setting)
        self.app_name: str | None = values["APP_NAME"]
        self.sub_prefix: str | None = stated.pop("prefix", None)
        self.filter_by: Filters = stated.pop("filter_by", None)
        self.subscription_defaults = _options(setting, stated)
        self.overrides = SubscriptionOptions()
        self.middleware: list[str] = values["MIDDLEWARE"]
        self.ack_deadline: int = _ack_deadline(self.subscription_defaults.ack_deadline)
        self.engine: str = _right("ENGINE", values["ENGINE"])
        self.publisher_options = PublisherOptions.of(values)
        self.publisher_backend: str = values["PUBLISHER_BACKEND"]
        self.publisher_blocking: bool = values["PUBLISHER_BLOCKING"]
        self.publisher_timeout: float = values["PUBLISHER_TIMEOUT"]
        self.handler_limit: float | None = values["HANDLER_LIMIT"]
        self.shutdown_timeout: float = values["SHUTDOWN_TIMEOUT"]
        self.threads_per_subscription: int = (
            self.subscription_defaults.threads or DEFAULTS["THREADS_PER_SUBSCRIPTION"]
        )
        self.retry_policy = self.subscription_defaults.retry_policy
        self.resources: str = values["RESOURCES"]
        self.log_payloads: bool = values["LOG_PAYLOADS"]
        self.payload_view = PayloadView.of(values)
        self.client_options: dict[str, Any] | None = values["CLIENT_OPTIONS"]
        self.gc_storage_region: list[str] | str | None = values["GC_STORAGE_REGION"]
        if isinstance(self.gc_storage_region, str):
            warnings.warn(
                "RELE['GC_STORAGE_REGION'] as a string is deprecated: make it a list, "
                f"[{self.gc_storage_region!r}].",
                DeprecationWarning,
                stacklevel=2,
            )
        self.gc_credentials_path: str | None = values["GC_CREDENTIALS_PATH"]
        self._gc_project_id: str | None = values["GC_PROJECT_ID"]
        self._encoder_path: str = values["ENCODER_PATH"]
        self._decoder_path: str = values["DECODER_PATH"]

    @property
    def encoder(self) -> type[json.JSONEncoder]:
        """The class that ENCODER_PATH names.

        Raises:
            ConfigurationError: there is none.
        """
        encoder: type[json.JSONEncoder] = _import("ENCODER_PATH", self._encoder_path)
        return encoder

    @property
    def decoder(self) -> Callable[..., Any]:
        """The class or the function that DECODER_PATH names.

        Raises:
            ConfigurationError: there is none.
        """
        decoder: Callable[..., Any] = _import("DECODER_PATH", self._decoder_path)
        return decoder

    @property
    def connection(self) -> Connection:
        """The options of Google's clients and of new topics and subscriptions.

        The first access may look up the credentials, and the project if none is set.
        """
        region = self.gc_storage_region or None
        return Connection(
            self.gc_project_id,
            self.credentials,
            self.client_options,
            [region] if isinstance(region, str) else region,
            self.ack_deadline,
            self.retry_policy,
        )

    def setting(self, name: str, default: Any = None) -> Any:
        """The value of any key of ``RELE``; an extension reads its own settings by this method."""
        return self.given.get(name, default)

    @property
    def publishes_to_pubsub(self) -> bool:
        """Whether messages are sent to Pub/Sub directly, by Relé's own backend."""
        return bool(self.publisher_backend == DEFAULTS["PUBLISHER_BACKEND"])

    def make_publisher_backend(self) -> BaseBackend:
        """A new backend of the class that PUBLISHER_BACKEND names.

        Raises:
            ConfigurationError: there is none, or it cannot be made from this configuration.
        """
        backend: BaseBackend = _import("PUBLISHER_BACKEND", self.publisher_backend)(self)
        return backend

    @property
    def credentials(self) -> Any:
        """Google credentials: of GC_CREDENTIALS_PATH, else Google's default.

        ``None`` under an emulator, or where there are none.
        """
        if uses_emulator():
            return None
        if self.gc_credentials_path:
            return self._file[0]
        return self._google_defaults[0]

    @property
    def gc_project_id(self) -> str | None:
        """The project of GC_PROJECT_ID, else of the credentials' file, else of Google's default.

        Where the file names none, it is GOOGLE_CLOUD_PROJECT or the quota project of the file. For
        the default credentials of a user it is their quota project. Under an emulator no
        credentials are read, because that may open a connection: it is GOOGLE_CLOUD_PROJECT, else
        ``rele-local``.
        """
        if self._gc_project_id:
            return self._gc_project_id
        if uses_emulator():
            return _project_of_environment() or EMULATOR_PROJECT
        return self._project_beside_credentials() or _project_of(*self._google_defaults)

    def _project_beside_credentials(self) -> str | None:
        """The project that goes with the credentials of GC_CREDENTIALS_PATH."""
        if not self.gc_credentials_path:
            return None
        credentials, project = self._file
        return project or _project_of(credentials, _project_of_environment())

    @cached_property
    def _google_defaults(self) -> tuple[Any, str | None]:
        return get_google_defaults()

    @cached_property
    def _file(self) -> tuple[Any, str | None]:
        """The credentials and the project of the file that GC_CREDENTIALS_PATH names."""
        from rele.engine.google.credentials import read_credentials_file

        path = str(self.gc_credentials_path)
        try:
            return read_credentials_file(path)
        except ValueError as error:
            raise ConfigurationError(
                unusable_credentials("GC_CREDENTIALS_PATH", path, error)
            ) from None  # the message includes Google's


def unusable_credentials(setting: str, path: str, error: ValueError) -> str:
    """The error if the file at ``path``, which ``setting`` names, has no Google credentials."""
    return f"RELE[{setting!r}] = {path!r} is not a file with Google credentials: {error}."


def _project_of_environment() -> str | None:
    return os.environ.get("GOOGLE_CLOUD_PROJECT") or None


def _project_of(credentials: Any, project: str | None) -> str | None:
    return project or getattr(credentials, "quota_project_id", None)


def _copy(value: Any) -> Any:
    """A copy that does not change if the project changes its lists and dicts later."""
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return [*map(_copy, value)] if isinstance(value, (list, tuple)) else value


def _right(setting: str, value: Any) -> Any:
    """The ``value`` of a setting.

    Raises:
        ConfigurationError: it is not one that the setting may have.
    """
    if problem := SETTINGS[setting].problem(setting, value):
        raise ConfigurationError(str(problem))
    return value


def _import(setting: str, path: str) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"RELE[{setting!r}] = {path!r} cannot be imported: {error}"
        ) from error


def stated_defaults(setting: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults for subscriptions that ``setting`` states, by the argument's name in ``@sub``.

    Raises:
        ConfigurationError: a default is stated both by its key and by its older name.
    """
    stated = {
        key: value
        for key, value in setting.get("SUBSCRIPTION_DEFAULTS", {}).items()
        if value is not None
    }
    for alias, key in ALIASES.items():
        if setting.get(alias) is None:
            continue
        if key in stated:
            raise ConfigurationError(stated_twice(alias, key))
        stated[key] = setting[alias]
    return stated


def stated_twice(alias: str, key: str) -> str:
    """The error if a default is stated by its key and by its older name, ``alias``."""
    return (
        f"RELE[{alias!r}] and RELE['SUBSCRIPTION_DEFAULTS'][{key!r}] are one setting by two names: "
        f"remove RELE[{alias!r}]."
    )


def _options(setting: Mapping[str, Any], stated: Mapping[str, Any]) -> SubscriptionOptions:
    """The entries of ``stated`` that are options.

    Raises:
        ConfigurationError: a value is not valid for its option.
    """
    # The system checks warn of an unknown name, as they do of an unknown setting.
    known = {name: value for name, value in stated.items() if name in DEFAULT_OPTIONS}
    for name, value in known.items():
        if complaint := DEFAULT_OPTIONS[name].kind.complaint(value):
            raise ConfigurationError(f"{_place_of(name, setting)} {complaint}")
    return SubscriptionOptions(**known)


def _place_of(option: str, setting: Mapping[str, Any]) -> str:
    """Where ``setting`` states a default: by its key, or by its older name."""
    for alias, key in ALIASES.items():
        if key == option and setting.get(alias) is not None:
            return f"RELE[{alias!r}]"
    return f"RELE['SUBSCRIPTION_DEFAULTS'][{option!r}]"


def _ack_deadline(value: Any) -> int:
    """The ack deadline in seconds: ``value``, else DEFAULT_ACK_DEADLINE, else the default.

    Raises:
        ConfigurationError: Pub/Sub would refuse it.
    """
    from_environment = os.environ.get("DEFAULT_ACK_DEADLINE") or str(DEFAULT_ACK_DEADLINE)
    if value is None:
        value = int(from_environment) if from_environment.isdecimal() else from_environment
    if problem := SETTINGS["ACK_DEADLINE"].problem("ACK_DEADLINE", value):
        raise ConfigurationError(
            f"{problem} If it is not set, the environment's DEFAULT_ACK_DEADLINE is used."
        )
    seconds: int = value
    return seconds


def read_settings_by(read: Callable[[], Mapping[str, Any]]) -> None:
    """Let :func:`load` take the settings from ``read()``, as the Django app does."""
    IN_USE.read_settings = read


def load() -> Config:
    """The project's configuration.

    Raises:
        ConfigurationError: no settings are found.
    """
    return Config(read_settings())


def current() -> Config:
    """The configuration in use: from :func:`setup`, else from the project's settings.

    If it comes from the project's settings, their middleware is registered now, unless other
    middleware is registered already.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
    """
    if IN_USE.given is None:
        register_first(of_project)
    # Not under a lock that publishing needs: the setup of a middleware may publish.
    given: Config | None = IN_USE.given
    return given or of_project()


def of_project() -> Config:
    """The configuration of the project's settings, which are read once.

    Raises:
        ConfigurationError: there are no settings.
    """
    with IN_USE.lock:
        config: Config = IN_USE.of_project or load()
        IN_USE.of_project = config
        return config


def read_settings() -> Mapping[str, Any]:
    """The project's ``RELE``: from Django's settings, else from a ``settings`` module.

    Raises:
        NoSettingsError: there are no settings.
        ConfigurationError: the ``settings`` module cannot be imported.
    """
    if IN_USE.read_settings is not None:
        return IN_USE.read_settings()
    try:
        settings, _ = discover.sub_modules()
    except Exception as error:
        failure = import_failure("The settings module 'settings'", error)
        raise ConfigurationError(f"{failure} Fix it.") from error
    setting: Mapping[str, Any] | None = getattr(settings, "RELE", None)
    if setting is None:
        raise NoSettingsError
    return setting


def setup(setting: Mapping[str, Any] | None = None, **kwargs: Any) -> Config:
    """Register the middleware and let :func:`rele.publish` use ``setting``.

    A further call registers the middleware anew. If the settings are equal, the process's publisher
    stays in use; otherwise it sends its messages and is closed.

    Args:
        setting: the ``RELE`` dict; by default that of the project.
        kwargs: handed to the ``setup`` of each middleware, such as ``flask_app``.

    Raises:
        ConfigurationError: ``setting`` is not given, and the project has no settings.
    """
    config = load() if setting is None else Config(setting)
    use(config, **kwargs)
    return config


def use(config: Config, **kwargs: Any) -> None:
    """Register the middleware of ``config`` and let :func:`rele.publish` use it: see :func:`setup`.

    Args:
        config: the configuration.
        kwargs: handed to the ``setup`` of each middleware.
    """
    register_middleware(config, **kwargs)
    init_global_publisher(config)
