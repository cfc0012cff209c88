"""Each setting of the reference with its default, and each attribute of Config."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock, patch

import pytest

from rele.config import Config
from rele.retry_policy import RetryPolicy

DEFAULTS: dict[str, Any] = {
    "app_name": None,
    "sub_prefix": None,
    "middleware": ["rele.contrib.LoggingMiddleware"],
    "ack_deadline": 60,
    "publisher_blocking": False,
    "publisher_timeout": 3.0,
    "threads_per_subscription": 2,
    "filter_by": None,
    "retry_policy": None,
    "client_options": None,
    "gc_storage_region": None,
    "gc_credentials_path": None,
    "encoder": json.JSONEncoder,
}

GIVEN: dict[str, tuple[str, Any]] = {
    "APP_NAME": ("app_name", "shop"),
    "SUB_PREFIX": ("sub_prefix", "shop"),
    "MIDDLEWARE": ("middleware", ["a.B"]),
    "ACK_DEADLINE": ("ack_deadline", 10),
    "PUBLISHER_BLOCKING": ("publisher_blocking", True),
    "PUBLISHER_TIMEOUT": ("publisher_timeout", 1.5),
    "THREADS_PER_SUBSCRIPTION": ("threads_per_subscription", 7),
    "FILTER_SUBS_BY": ("filter_by", print),
    "DEFAULT_RETRY_POLICY": ("retry_policy", RetryPolicy(5, 30)),
    "CLIENT_OPTIONS": ("client_options", {"api_endpoint": "here"}),
    "GC_STORAGE_REGION": ("gc_storage_region", ["europe-west1"]),
    "GC_CREDENTIALS_PATH": ("gc_credentials_path", "key.json"),
    "GC_PROJECT_ID": ("gc_project_id", "my-project"),
    "ENCODER_PATH": ("encoder", json.JSONEncoder),
}


@pytest.mark.parametrize("attribute", DEFAULTS)
def test_the_default(attribute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEFAULT_ACK_DEADLINE", raising=False)

    assert getattr(Config({}), attribute) == DEFAULTS[attribute]


@pytest.mark.parametrize("setting", GIVEN)
def test_the_given_value(setting: str) -> None:
    attribute, value = GIVEN[setting]
    given = "json.JSONEncoder" if setting == "ENCODER_PATH" else value

    assert getattr(Config({setting: given}), attribute) == value


def test_the_ack_deadline_of_the_environment_is_an_int(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_ACK_DEADLINE", "120")

    assert Config({}).ack_deadline == 120
    assert Config({"ACK_DEADLINE": 30}).ack_deadline == 30


def test_the_quota_project_of_user_credentials_stands_in_for_the_project() -> None:
    user = Mock(quota_project_id="quota-project")
    with patch("rele.config.get_google_defaults", return_value=(user, None)):
        assert Config({}).gc_project_id == "quota-project"


def test_a_credential_without_any_project_gives_none() -> None:
    with patch("rele.config.get_google_defaults", return_value=(object(), None)):
        assert Config({}).gc_project_id is None


def test_a_storage_region_as_a_string_is_deprecated_and_kept() -> None:
    with pytest.warns(DeprecationWarning, match=r"\['europe-west1'\]"):
        config = Config({"GC_STORAGE_REGION": "europe-west1"})

    assert config.gc_storage_region == "europe-west1"
