"""The files of docs/monitoring, and what was scraped, for tests that hold them together."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.promql import Metric

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
ALERTS = FOLDER / "alerts.yml"

CLOUD_MONITORING = {
    f"pubsub_googleapis_com:subscription_{name}": Metric(
        "gauge", frozenset({"monitored_resource", "project_id", "subscription_id"})
    )
    for name in ("num_undelivered_messages", "oldest_unacked_message_age")
}
"""Metrics of Pub/Sub that Cloud Monitoring has, by their names in PromQL, with the labels of their
resource: https://cloud.google.com/monitoring/api/metrics_gcp_p_z and
https://cloud.google.com/monitoring/promql/promql-mapping."""


def queries() -> dict[str, str]:
    """Each query of the dashboard, of the alerts and of the scaler, by where it stands."""
    return dict([*_of_dashboard(), *_of_alerts(), *_of_scaler()])


def _of_dashboard() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            # As Grafana fills them in.
            query = target["expr"].replace("$__rate_interval", "1m").replace("$subscription", ".*")
            yield f"dashboard: {panel['title']} ({panel['id']}) {target['refId']}", query


def _of_alerts() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield f"alert: {rule['alert']}", rule["expr"]


def _of_scaler() -> Iterator[tuple[str, str]]:
    scaled, _ = yaml.safe_load_all((FOLDER / "keda.yml").read_text(encoding="utf-8"))
    for number, trigger in enumerate(scaled["spec"]["triggers"], 1):
        yield f"scaler: {number}", trigger["metadata"]["query"]


def scrape(url: str) -> str:
    """What a process answers at ``url``."""
    with urllib.request.urlopen(url, timeout=10) as response:
        text: str = response.read().decode()
        return text


def metrics_in(text: str) -> dict[str, Metric]:
    """The metrics of a scrape, by the names of their samples."""
    found: dict[str, Metric] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            before = found.get(sample.name, Metric(family.type, frozenset()))
            found[sample.name] = Metric(family.type, before.labels | {*sample.labels})
    return found


def samples_in(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a scrape, by their names and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
