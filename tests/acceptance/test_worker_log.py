"""What a worker's terminal shows of each message."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.support.project import Project, publish_jobs, read_until
from tests.support.readme import blocks

SUBS = """
    from rele import DeadLetterPolicy, sub

    @sub(topic="jobs", dead_letter_policy=DeadLetterPolicy())
    def work(data, **kwargs):
        print(f"worked on {data}", flush=True)
        if data == 1:
            raise ValueError("broken")
"""

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
PROCESSED = rf"^{STAMP} INFO jobs: message \d+ processed, attempt 1, \d+\.\d{{3}} s$"
FAILED = rf"^{STAMP} ERROR jobs: message \d+ failed with ValueError, attempt \d, \d+\.\d{{3}} s$"
RECEIVED = rf"^{STAMP} DEBUG jobs: message \d+ received, attempt 1$"


@pytest.fixture
def django(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A Django project that configures no logging: Django's own default is in force."""
    project.write_settings(MIDDLEWARE=["rele.contrib.LoggingMiddleware"])
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    add_to_settings(project, "INSTALLED_APPS = ['rele', 'shop']\n")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    return project


def add_to_settings(project: Project, code: str) -> None:
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(code)


def output_of_worker(project: Project, *arguments: str) -> str:
    """What a worker prints and logs that handles a job that succeeds and then one that fails."""
    worker = project.start("-m", *arguments)
    output = read_until(worker.stdout, "Pulling messages")
    for number in (0, 1):
        publish_jobs(project, [number])
        output += read_until(worker.stdout, f"worked on {number}")
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout is not None
    output += worker.stdout.read()
    assert worker.wait(timeout=30) == 0, output
    return output


def matches(pattern: str, output: str) -> bool:
    return re.search(pattern, output, re.MULTILINE) is not None


@pytest.mark.parametrize(
    ("command", "options", "processed", "received"),
    [
        (("django", "runrele"), (), True, False),
        (("django", "runrele"), ("-v", "0"), False, False),
        (("rele", "run"), ("-v", "2"), True, True),
    ],
    ids=["runrele", "runrele -v 0", "run -v 2"],
)
def test_a_line_for_each_message_where_nothing_is_configured(
    django: Project,
    command: tuple[str, ...],
    options: tuple[str, ...],
    processed: bool,
    received: bool,
) -> None:
    output = output_of_worker(django, *command, *options)

    assert matches(PROCESSED, output) is processed, output
    assert matches(RECEIVED, output) is received, output
    assert matches(FAILED, output), output
    assert "ValueError: broken" in output


@pytest.mark.parametrize("command", [("django", "runrele"), ("rele", "run")], ids=" ".join)
def test_configured_logging_changes_where_it_is_asked_for_alone(
    django: Project, command: tuple[str, ...]
) -> None:
    add_to_settings(
        django,
        "import logging\nlogging.basicConfig(level='WARNING', format='OWN %(message)s')\n",
    )

    output = output_of_worker(django, *command)
    asked = output_of_worker(django, *command, "-v", "1")

    assert "OWN Processing a message for jobs - work failed: ValueError" in output
    assert "OWN Processed" not in output
    assert not matches(PROCESSED, output)
    assert "OWN Processed a message for jobs - work" in asked


def test_the_logging_of_the_manual_shows_the_line(django: Project) -> None:
    [example] = [code for _, _, code in blocks("Log messages") if code.startswith("LOGGING")]
    add_to_settings(django, example)

    output = output_of_worker(django, "django", "runrele")

    assert matches(PROCESSED, output), output
    assert matches(FAILED, output), output


@pytest.mark.parametrize(
    ("command", "configured"),
    [
        (("django", "runrele"), ""),
        (("django", "runrele"), "import logging\nlogging.basicConfig(level='INFO')\n"),
        (("rele", "run"), "RELE['UNKNOWN'] = 1\n"),
    ],
    ids=["runrele", "runrele, configured", "run, with a warning"],
)
def test_json_lines_say_which_message_they_are_about(
    django: Project, command: tuple[str, ...], configured: str
) -> None:
    add_to_settings(django, configured)

    output = output_of_worker(django, *command, "--log-format", "json")

    printed = [line for line in output.splitlines() if not line.startswith("worked on")]
    lines = [json.loads(line) for line in printed]
    assert all({"time", "severity", "message", "logger"} <= line.keys() for line in lines)
    assert any(line["message"].startswith("Pulling messages") for line in lines)
    [processed] = [line for line in lines if line.get("status") == "succeeded"]
    failed = next(line for line in lines if line.get("status") == "failed")
    assert processed["message_id"] != failed["message_id"]
    for line in (processed, failed):
        assert line["subscription"] == line["topic"] == "jobs"
        assert line["attempt"] >= 1
        assert line["duration_seconds"] >= 0
    assert failed["payload"] == "1"
    assert "ValueError: broken" in failed["exception"]
    assert "payload" not in processed


def test_json_lines_of_several_processes_are_lines_of_json(django: Project) -> None:
    output = output_of_worker(
        django, "django", "runrele", "--processes", "2", "--log-format", "json"
    )

    lines = [json.loads(line) for line in output.splitlines() if not line.startswith("worked on")]
    assert {line["process"] for line in lines if "message_id" in line} <= {1, 2}


def test_a_fault_of_each_message_is_shown_a_few_times_whole(django: Project) -> None:
    django.write(
        "shop/subs.py",
        """
        from rele import sub
        from rele.exceptions import Drop

        @sub(topic="jobs")
        def work(data, **kwargs):
            if data == 50:
                print("worked on them", flush=True)
                return
            try:
                raise ValueError("broken")
            finally:
                from rele.handling.current import current_handling
                current_handling().message.ack()
        """,
    )
    worker = django.start("-m", "django", "runrele")
    output = read_until(worker.stdout, "Pulling messages")
    publish_jobs(django, range(50))
    publish_jobs(django, [50])
    output += read_until(worker.stdout, "worked on them")
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout is not None
    output += worker.stdout.read()

    assert output.count("failed with ValueError") == 50, output
    assert output.count("ValueError: broken") == 10
    assert "further tracebacks like this are left out for 60 s" in output
