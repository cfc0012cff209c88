"""The metrics of real workers, and the queries of docs/monitoring, asked of these."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import rele
from tests.support import monitoring
from tests.support.monitoring import CLOUD_MONITORING, metrics_in, samples_in, scrape
from tests.support.polling import wait_until
from tests.support.project import REPOSITORY, Project, read_until
from tests.support.promql import Metric, QueryError, check
from tests.support.servers import free_port, skip_for_missing

SETTINGS = """
    from rele.retry_policy import RetryPolicy

    SECRET_KEY = "for tests"
    USE_TZ = True
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    INSTALLED_APPS = ["rele", "rele.contrib.outbox", "rele.contrib.inbox", "shop"]
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "db.sqlite3",
            "OPTIONS": {"timeout": 20},
        }
    }
    RELE = {
        "GC_PROJECT_ID": "%s",
        "MIDDLEWARE": [
            "rele.contrib.DjangoDBMiddleware", "rele.contrib.PrometheusMiddleware"
        ],
        "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
        "SUBSCRIPTION_DEFAULTS": {"threads": 2, "retry_policy": RetryPolicy(0.1, 1)},
    }
"""

SUBS = """
    import rele
    from rele import sub
    from rele.contrib.inbox import idempotent
    from rele.declaration.batch import Batch
    from rele.exceptions import Drop

    @sub(topic="orders")
    @idempotent
    def book(data, **attributes):
        rele.publish("invoices", data)
        try:
            rele.publish("invoices", object())
        except TypeError:
            pass

    @sub(topic="invoices")
    def send(data, **attributes):
        raise Drop

    @sub(topic="refunds")
    async def refuse(data, **attributes):
        raise ValueError

    @sub(topic="clicks", batch=Batch(100, 0.1))
    def count(batch):
        pass
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, embedded_server: str) -> Iterator[str]:
    """The metrics of a worker that has had messages of all kinds, with a relay beside it."""
    project = Project(tmp_path_factory.mktemp("shop"), embedded_server, "metrics-of-a-worker")
    project.write("settings.py", SETTINGS % project.project_id)
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    project.environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        status, said = project.run("-m", "django", "migrate", "--verbosity", "0")
        assert status == 0, said
        process = project.start(
            "-m", "django", "runrele", "--relay", "--health-port", "127.0.0.1:0"
        )
        url = metrics_of(process)
        read_until(process.stdout, "Pulling messages")
        with publishing_to(embedded_server, project.project_id) as publish:
            for _ in range(2):
                publish("orders", 1, event_id="once")
            publish("refunds", 1)
            for number in range(5):
                publish("clicks", number)
        wait_for_all(url)
        yield url
    finally:
        project.kill_all()


def metrics_of(process: subprocess.Popen[str]) -> str:
    """The URL of the metrics of a worker that was started with ``--health-port``."""
    said = read_until(process.stdout, "Answering /livez")
    found = re.search(r"http://[0-9.:]+\d", said)
    assert found is not None, said
    return f"{found[0]}/metrics"


@contextmanager
def publishing_to(server: str, project_id: str) -> Iterator[Callable[..., object]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", server)
        rele.setup({"GC_PROJECT_ID": project_id, "MIDDLEWARE": []})
        yield rele.publish
        assert rele.publishing.flush(30)
        rele.publishing.forget()


def wait_for_all(url: str) -> None:
    """Return when all that the messages lead to is counted."""
    expected = {
        ("rele_inbox_duplicates_total", "orders"): 1,
        ("rele_batch_size_sum", "clicks"): 5,
        ("rele_handler_seconds_count", "invoices"): 1,
        ("rele_handler_seconds_count", "refunds"): 2,
        ("rele_backlog_messages", "orders"): 0,
        ("rele_backlog_oldest_seconds", "refunds"): 0,  # it is asked every 5 s, perhaps too early
    }

    def is_there() -> bool:
        found = by_subscription(url)
        published = found.get(("rele_published_total", "invoices"), 0)
        outbox = found.get(("rele_outbox_relays", "default"), 0)
        reached = all(found.get(each, -1) >= value for each, value in expected.items())
        return bool(reached and published and outbox)

    wait_until(is_there, 60, lambda: relevant_samples(url), every=0.2)


def relevant_samples(url: str) -> list[str]:
    return [line for line in scrape(url).splitlines() if re.match("rele_(?!.*_bucket)", line)]


def by_subscription(url: str) -> dict[tuple[str, str], float]:
    """The samples, each by its name and the value of its first label."""
    return {
        (name, next((value for _, value in sorted(labels)), "")): value
        for (name, labels), value in samples_in(scrape(url)).items()
    }


@pytest.fixture(scope="module")
def scraped(worker: str) -> str:
    return scrape(worker)


def test_a_worker_counts_what_became_of_its_messages(scraped: str) -> None:
    samples = samples_in(scraped)

    def messages(subscription: str, outcome: str) -> float:
        labels = frozenset({("subscription", subscription), ("outcome", outcome)})
        return samples.get(("rele_messages_total", labels), 0)

    assert messages("orders", "succeeded") == 1
    assert messages("orders", "duplicate") == 1
    assert messages("invoices", "dropped") == 1
    assert messages("refunds", "failed") >= 2
    assert messages("clicks", "succeeded") == 5
    received = samples["rele_received_total", frozenset({("subscription", "clicks")})]
    assert received == 5
    assert samples["rele_published_total", frozenset({("topic", "invoices")})] == 1
    assert samples["rele_publish_failures_total", frozenset({("topic", "invoices")})] == 1
    assert samples["rele_processes", frozenset({("phase", "consuming")})] == 1


@pytest.mark.parametrize("place", monitoring.queries())
def test_each_query_asks_for_what_a_worker_shows(scraped: str, place: str) -> None:
    """Each metric and each label is there, and rates are of what only grows."""
    check(monitoring.queries()[place], {**CLOUD_MONITORING, **metrics_in(scraped)})


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("rele_waiting", "there is no metric rele_waiting"),
        ('rele_backlog{queue="a"}', "rele_backlog has no labels"),
        ("sum by (queue) (rele_backlog)", "there are no labels"),
        ("rate(rele_backlog[5m])", "rate does not fit rele_backlog, a gauge"),
        ("max_over_time(rele_sent_total[5m])", "max_over_time does not fit"),
        ("rele_sent_total > 0", "its rate is meant"),
        ("rate(rele_sent_total)", "its rate is meant"),
        ("rele_backlog[5m]", "it gives a range"),
        ("histogram_quantile(0.9, rate(rele_seconds_sum[5m]))", "needs the rate of a histogram"),
        ("histogram_quantile(0.9, sum by (name) (rate(rele_seconds_bucket[5m])))", "the label le"),
        ("sum by (name) (rele_backlog) / sum(rele_backlog)", "one side has the labels"),
        ("sum(rele_backlog", "it ends too early"),
        ("sum(rele_backlog))", "is not expected"),
    ],
)
def test_the_check_notices(query: str, reason: str) -> None:
    labels = frozenset({"name"})
    metrics = {
        "rele_backlog": Metric("gauge", labels),
        "rele_sent_total": Metric("counter", labels),
        "rele_seconds_sum": Metric("histogram", labels),
        "rele_seconds_bucket": Metric("histogram", labels | {"le"}),
    }

    with pytest.raises(QueryError, match=reason):
        check(query, metrics)


def test_the_document_lists_each_metric(scraped: str) -> None:
    text = (REPOSITORY / "docs" / "operations.rst").read_text(encoding="utf-8")
    section = text.partition("\nMetrics\n---")[2].partition("\nDashboard and alerts\n")[0]
    listed = set(re.findall(r"``(rele_\w+)(?:\{[\w,]+\})?``", section))
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name) if metric.type == "histogram" else name
        for name, metric in metrics_in(scraped).items()
        if name.startswith("rele_") and not name.endswith("_created")
    }

    assert listed - shown == set()
    assert shown - listed == set()


def test_the_document_says_what_to_do_about_each_alert() -> None:
    text = (REPOSITORY / "docs" / "operations.rst").read_text(encoding="utf-8")
    section = text.partition("\nDashboard and alerts\n")[2].partition("\nAutoscaling\n")[0]

    listed = re.findall(r"^``(Rele\w+)``", section, re.MULTILINE)

    rules = [place.removeprefix("alert: ") for place in monitoring.queries()]
    assert sorted(listed) == sorted(each for each in rules if each.startswith("Rele"))


def test_no_panel_of_the_dashboard_covers_another() -> None:
    panels = json.loads((monitoring.FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    places = [
        (place["x"] + column, place["y"] + row)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["w"])
        for row in range(place["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert max(column for column, _ in places) == 23
    assert len(set(places)) == len(places)


class CloudMonitoring(BaseHTTPRequestHandler):
    """Stands for what Cloud Monitoring knows of two subscriptions."""

    def do_GET(self) -> None:
        labels = 'monitored_resource="pubsub_subscription",project_id="p",subscription_id="orders"'
        lines = [f"{name}{{{labels}}} 7\n" for name in CLOUD_MONITORING]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("".join(lines).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Nothing."""


@pytest.fixture(scope="module")
def cloud_monitoring() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), CloudMonitoring)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, worker: str, cloud_monitoring: str
) -> Iterator[str]:
    """The URL of a Prometheus that scrapes the worker and has the alert rules."""
    program = shutil.which("prometheus")
    if program is None:
        skip_for_missing("Prometheus", "RELE_REQUIRE_PROMETHEUS")
    folder = tmp_path_factory.mktemp("prometheus")
    targets = [urllib.parse.urlsplit(worker).netloc, cloud_monitoring]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(monitoring.ALERTS)],
        "scrape_configs": [{"job_name": "rele", "static_configs": [{"targets": targets}]}],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            lambda: _has_scraped_twice(f"http://{address}"),
            60,
            lambda: (folder / "log").read_text(),
            every=0.2,
        )
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait(30)


def _has_scraped_twice(url: str) -> bool:
    """Since a rate needs two samples; each target, and with the rules evaluated."""
    try:
        counts = ask(url, "count_over_time(up[1m])")
        rules = get(url, "/api/v1/rules")["groups"]
    except OSError:
        return False
    evaluated = all(rule["health"] == "ok" for group in rules for rule in group["rules"])
    return bool(
        len(counts) == 2 and all(float(each["value"][1]) >= 3 for each in counts) and evaluated
    )


def ask(url: str, query: str) -> list[Any]:
    found: list[Any] = get(url, "/api/v1/query", query=query)["result"]
    return found


def get(url: str, path: str, **parameters: str) -> Mapping[str, Any]:
    with urllib.request.urlopen(
        f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10
    ) as response:
        answer = json.load(response)
    assert answer["status"] == "success"
    data: Mapping[str, Any] = answer["data"]
    return data


def test_prometheus_answers_each_query(prometheus: str) -> None:
    """With something, but for the alerts, none of which is about a worker that is well."""
    without = [
        place
        for place, query in monitoring.queries().items()
        if not ask(prometheus, query) and not place.startswith("alert: ")
    ]

    assert without == []


def test_prometheus_has_the_alerts_of_what_is_wrong(prometheus: str) -> None:
    groups = get(prometheus, "/api/v1/rules")["groups"]
    states = {rule["name"]: rule["state"] for group in groups for rule in group["rules"]}

    assert len(states) == len([each for each in monitoring.queries() if each.startswith("alert")])
    assert states.pop("ReleMessagesFail") == "pending"
    assert states.pop("RelePublishesFail") in ("inactive", "firing")
    assert {*states.values()} == {"inactive"}, states


@pytest.fixture
def processes(project: Project) -> tuple[str, subprocess.Popen[str]]:
    """Two worker processes that count, under a supervisor that answers for both."""
    project.write(
        "subs.py",
        """
        import os
        from prometheus_client import Counter
        from rele import sub

        PAID = Counter("shop_paid_total", "Paid.")

        @sub(topic="jobs")
        def work(data, **attributes):
            PAID.inc()
        """,
    )
    project.write_settings(MIDDLEWARE=["rele.contrib.PrometheusMiddleware"])
    project.environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    process = project.start("-m", "rele", "run", "--processes", "2", "--health-port", "127.0.0.1:0")
    url = metrics_of(process)
    read_until(process.stdout, "Pulling messages")
    return url, process


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


def test_several_processes_are_counted_together_and_their_ends_change_nothing(
    processes: tuple[str, subprocess.Popen[str]],
    publish: Callable[[range], None],
) -> None:
    url, supervisor = processes

    def total(name: str) -> float:
        return sum(value for (each, _), value in by_subscription(url).items() if each == name)

    wait_until(lambda: "rele_messages_total" in scrape(url), 30, lambda: relevant_samples(url))
    zeros = {
        dict(labels)["outcome"]: value
        for (name, labels), value in samples_in(scrape(url)).items()
        if name == "rele_messages_total"
    }
    assert {"succeeded", "failed", "undecodable"} <= zeros.keys(), "before the first message"
    assert {*zeros.values()} == {0}
    publish(range(40))
    wait_until(lambda: total("rele_messages_total") == 40, 30, lambda: relevant_samples(url))
    wait_until(lambda: total("rele_received_total") == 40, 30, lambda: relevant_samples(url))
    assert total("shop_paid_total") == 40, "what the project counts, too"
    assert total("rele_handler_seconds_count") == 40
    wait_until(lambda: total("rele_processes") == 2, 30, lambda: relevant_samples(url))

    first = children_of(supervisor.pid)[0]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: first not in children_of(supervisor.pid), 30)

    assert total("rele_messages_total") == 40
    assert total("rele_received_total") == 40
    publish(range(40, 50))
    wait_until(lambda: total("rele_messages_total") == 50, 30, lambda: relevant_samples(url))
    wait_until(lambda: total("rele_received_total") == 50, 30, lambda: relevant_samples(url))
    assert total("shop_paid_total") == 50

    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0


def test_a_worker_without_the_library_says_what_to_install(project: Project) -> None:
    project.write("prometheus_client.py", 'raise ModuleNotFoundError("No module", name=__name__)')
    project.write("subs.py", "from rele import sub\n\n@sub(topic='jobs')\ndef work(data): ...\n")
    project.write_settings(MIDDLEWARE=["rele.contrib.PrometheusMiddleware"])

    status, said = project.run("-m", "rele", "run")

    assert status == 1
    assert "pip install 'rele[prometheus]'" in said
    assert "Traceback" not in said
