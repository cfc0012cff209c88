"""Each importable name of the reference, and each signature: its parameters first, ours after."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest

NAMES = {
    "rele": "publish sub setup config Publisher Subscriber Subscription Callback Worker "
    "__version__",
    "rele.client": "Publisher Subscriber get_google_defaults USE_EMULATOR pubsub_v1",
    "rele.config": "Config setup load_subscriptions_from_paths get_google_defaults "
    "init_global_publisher",
    "rele.discover": "sub_modules",
    "rele.management.discover": "discover_subs_modules",
    "rele.management.commands.runrele": "Command create_and_run",
    "rele.management.commands.showsubscriptions": "Command discover_subs_modules",
    "rele.middleware": "BaseMiddleware register_middleware run_middleware_hook "
    "default_middleware DEPRECATED_HOOKS",
    "rele.publishing": "publish init_global_publisher",
    "rele.subscription": "Subscription Callback sub",
    "rele.worker": "Worker NotConnectionError check_internet_connection create_and_run",
    "rele.retry_policy": "RetryPolicy",
    "rele.contrib": "LoggingMiddleware VerboseLoggingMiddleware DjangoDBMiddleware "
    "FlaskMiddleware UnrecoverableMiddleWare",
    "rele.contrib.logging_middleware": "LoggingMiddleware",
    "rele.contrib.verbose_logging_middleware": "VerboseLoggingMiddleware",
    "rele.contrib.django_db_middleware": "DjangoDBMiddleware db",
    "rele.contrib.flask_middleware": "FlaskMiddleware",
    "rele.contrib.unrecoverable_middleware": "UnrecoverableMiddleWare UnrecoverableException",
    "rele.apps": "ReleConfig",
    "rele.cli": "main",
}

REQUIRED = inspect.Parameter.empty

SIGNATURES: dict[str, list[tuple[str, Any]]] = {
    "rele.client.Publisher": [
        ("gc_project_id", REQUIRED),
        ("credentials", REQUIRED),
        ("encoder", REQUIRED),
        ("timeout", REQUIRED),
        ("client_options", REQUIRED),
        ("blocking", None),
    ],
    "rele.client.Publisher.publish": [
        ("self", REQUIRED),
        ("topic", REQUIRED),
        ("data", REQUIRED),
        ("blocking", None),
        ("timeout", None),
        ("raise_exception", True),
        ("attrs", REQUIRED),
    ],
    "rele.client.Subscriber": [
        ("gc_project_id", REQUIRED),
        ("credentials", REQUIRED),
        ("message_storage_policy", REQUIRED),
        ("client_options", REQUIRED),
        ("default_ack_deadline", None),
        ("default_retry_policy", None),
    ],
    "rele.client.Subscriber.consume": [
        ("self", REQUIRED),
        ("subscription_name", REQUIRED),
        ("callback", REQUIRED),
        ("scheduler", REQUIRED),
    ],
    "rele.client.Subscriber.update_or_create_subscription": [
        ("self", REQUIRED),
        ("subscription", REQUIRED),
    ],
    "rele.publishing.publish": [("topic", REQUIRED), ("data", REQUIRED), ("kwargs", REQUIRED)],
    "rele.publishing.init_global_publisher": [("config", REQUIRED)],
    "rele.subscription.Subscription": [
        ("func", REQUIRED),
        ("topic", REQUIRED),
        ("prefix", ""),
        ("suffix", ""),
        ("filter_by", None),
        ("backend_filter_by", None),
        ("retry_policy", None),
    ],
    "rele.subscription.sub": [
        ("topic", REQUIRED),
        ("prefix", None),
        ("suffix", None),
        ("filter_by", None),
        ("backend_filter_by", None),
        ("retry_policy", None),
    ],
    "rele.subscription.Callback": [("subscription", REQUIRED), ("suffix", None)],
    "rele.worker.Worker": [
        ("subscriptions", REQUIRED),
        ("client_options", REQUIRED),
        ("gc_project_id", None),
        ("credentials", None),
        ("gc_storage_region", None),
        ("default_ack_deadline", None),
        ("threads_per_subscription", None),
        ("default_retry_policy", None),
    ],
    "rele.worker.Worker.run_forever": [("self", REQUIRED), ("sleep_interval", 1)],
    "rele.worker.Worker.setup": [("self", REQUIRED)],
    "rele.worker.Worker.start": [("self", REQUIRED)],
    "rele.worker.Worker.stop": [("self", REQUIRED), ("signal", None), ("frame", None)],
    "rele.worker.create_and_run": [("subs", REQUIRED), ("config", REQUIRED)],
    "rele.worker.check_internet_connection": [("remote_server", REQUIRED)],
    "rele.config.Config": [("setting", REQUIRED)],
    "rele.config.setup": [("setting", None), ("kwargs", REQUIRED)],
    "rele.config.load_subscriptions_from_paths": [
        ("sub_module_paths", REQUIRED),
        ("sub_prefix", None),
        ("filter_by", None),
    ],
    "rele.config.get_google_defaults": [],
    "rele.config.init_global_publisher": [("config", REQUIRED)],
    "rele.discover.sub_modules": [("settings_path", None)],
    "rele.management.discover.discover_subs_modules": [],
    "rele.middleware.register_middleware": [("config", REQUIRED), ("kwargs", REQUIRED)],
    "rele.middleware.run_middleware_hook": [
        ("hook_name", REQUIRED),
        ("args", REQUIRED),
        ("kwargs", REQUIRED),
    ],
    "rele.retry_policy.RetryPolicy": [
        ("minimum_backoff", REQUIRED),
        ("maximum_backoff", REQUIRED),
    ],
}

HOOKS = {
    "setup": ["config", "kwargs"],
    "pre_publish": ["topic", "data", "attrs"],
    "post_publish_success": ["topic", "data", "attrs"],
    "post_publish_failure": ["topic", "exception", "message"],
    "pre_process_message": ["subscription", "message"],
    "post_process_message": [],
    "post_process_message_success": ["subscription", "start_time", "message"],
    "post_process_message_failure": ["subscription", "exception", "start_time", "message"],
    "pre_worker_start": [],
    "post_worker_start": [],
    "pre_worker_stop": ["subscriptions"],
    "post_worker_stop": [],
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in NAMES for name in NAMES[module].split()]
)
def test_the_name_can_be_imported(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("path", SIGNATURES)
def test_the_reference_parameters_come_first_and_ours_are_keyword_only(path: str) -> None:
    parameters = list(inspect.signature(resolve(path)).parameters.values())
    ours = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    reference = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]

    assert [(p.name, p.default) for p in reference] == SIGNATURES[path]
    assert all(p.default is not REQUIRED for p in ours)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hook_takes_what_the_reference_says(hook: str) -> None:
    from rele.middleware import BaseMiddleware

    parameters = list(inspect.signature(getattr(BaseMiddleware, hook)).parameters)

    assert parameters == ["self", *HOOKS[hook]]


def test_python_m_rele_is_rele_cli() -> None:
    help_texts = {
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in (
            [sys.executable, "-m", "rele"],
            [sys.executable, "-c", "import sys; from rele.cli import main; sys.exit(main())"],
        )
    }

    [text] = help_texts
    assert text.startswith("usage: rele-cli")
    assert " run " in text


def resolve(path: str) -> Any:
    import pkgutil

    return pkgutil.resolve_name(path)
