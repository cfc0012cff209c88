"""The names are those of the conventions, as their own package has them."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes
from opentelemetry.semconv.schemas import Schemas

from rele.contrib.opentelemetry import names
from rele.contrib.opentelemetry.telemetry import Telemetry
from tests.support.telemetry import Recorded

pytestmark = pytest.mark.skipif(
    not hasattr(Schemas, "V1_44_0"), reason="the installed conventions are older than 1.44"
)

METRICS = {
    names.OPERATION_DURATION,
    names.PROCESS_DURATION,
    names.SENT_MESSAGES,
    names.CONSUMED_MESSAGES,
}
OWN = {names.DECISION, names.RETRY_DELAY, names.SKIPPED}


def _constants(*modules: Any) -> set[str]:
    return {
        value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }


def test_each_name_is_one_of_the_conventions() -> None:
    known = _constants(messaging_attributes, error_attributes, server_attributes)
    used = {
        value
        for name, value in vars(names).items()
        if name.isupper() and isinstance(value, str) and name not in ("PUBSUB", "SCHEMA_URL")
    }

    assert used - known == METRICS | OWN
    assert Schemas.V1_44_0.value == names.SCHEMA_URL


def test_each_value_is_one_of_the_conventions() -> None:
    types = {each.value for each in messaging_attributes.MessagingOperationTypeValues}

    assert messaging_attributes.MessagingSystemValues.GCP_PUBSUB.value == names.PUBSUB
    assert {*names.TYPE_OF.values()} <= types - {"deliver", "publish"}, "the two are deprecated"


class _Meter:
    """Notes the instruments that are made."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, str]] = []

    def create_counter(self, name: str, unit: str = "", description: str = "") -> None:
        self.made.append((name, unit, description))

    def create_histogram(
        self, name: str, unit: str = "", description: str = "", **advisory: object
    ) -> None:
        self.made.append((name, unit, description))


def test_the_metrics_are_those_of_the_conventions(recorded: Recorded) -> None:
    theirs, own = _Meter(), _Meter()
    for make in (
        messaging_metrics.create_messaging_client_operation_duration,
        messaging_metrics.create_messaging_process_duration,
        messaging_metrics.create_messaging_client_sent_messages,
        messaging_metrics.create_messaging_client_consumed_messages,
    ):
        make(theirs)  # type: ignore[arg-type]

    class Meters:
        def get_meter(self, *arguments: object) -> _Meter:
            return own

    Telemetry(recorded.tracers, Meters(), None)  # type: ignore[arg-type]

    assert own.made == theirs.made
    assert {name for name, _, _ in own.made} == METRICS
