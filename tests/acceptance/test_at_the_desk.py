"""The commands of a developer: showing messages, and handling once what waits."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from google.cloud import pubsub_v1

from rele.emulator import EmbeddedServer
from tests.support.project import Project, publish_jobs, read_until
from tests.support.proxy import Proxy

SUBS = """
    import os

    from rele import RetryPolicy, current_message, sub

    @sub(topic="jobs", retry_policy=RetryPolicy(0.1, 10))
    def work(data, **kwargs):
        os.write(1, f"handled {data}\\n".encode())
        if data == "poison":
            raise ValueError(data)
        if data == "later":
            current_message().nack()
"""

ONCE = ("-m", "rele", "run-once", "jobs", "--wait", "1")


@pytest.fixture
def jobs(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without Django whose subscription exists."""
    project.write_settings()
    project.write("subs.py", SUBS)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    status, output = project.run(*ONCE)
    assert (status, "Handled 0 message(s) of jobs." in output) == (0, True), output
    return project


@pytest.mark.both_engines(slow="google")
def test_what_waits_is_handled_once(jobs: Project) -> None:
    publish_jobs(jobs, range(20))

    status, output = jobs.run(*ONCE)

    assert status == 0, output
    assert sorted(line for line in output.splitlines() if line.startswith("handled")) == sorted(
        f"handled {number}" for number in range(20)
    )
    assert "Handled 20 message(s) of jobs.\n" in output


@pytest.mark.parametrize("job", ["poison", "later"])
def test_a_message_that_fails_without_end_ends_it_with_status_1(jobs: Project, job: str) -> None:
    publish_jobs(jobs, [job])

    status, output = jobs.run(*ONCE)

    assert status == 1, output
    assert "failed.\n" in output


def test_it_ends_after_so_many(jobs: Project) -> None:
    publish_jobs(jobs, range(50))

    status, output = jobs.run(*ONCE, "--max", "3")
    assert status == 0, output
    begun = output.count("handled ")
    assert 3 <= begun < 50

    status, output = jobs.run(*ONCE)
    assert output.count("handled ") == 50 - begun


@pytest.mark.both_engines(slow="google")
def test_an_outage_is_not_taken_for_the_end_of_what_waits(
    jobs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer() as server:
        jobs.environment["PUBSUB_EMULATOR_HOST"] = server.address
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        assert jobs.run(*ONCE)[0] == 0
        publish_jobs(jobs, [1])
        once = jobs.start(*ONCE[:-1], "2")
        read_until(once.stdout, "handled 1")

    read_until(once.stdout, "cannot be reached, for 2 s now")

    assert once.poll() is None
    once.send_signal(signal.SIGTERM)
    read_until(once.stdout, "Handled 1 message(s) of jobs; stopped by SIGTERM: more may wait.")
    assert once.wait(30) == 128 + signal.SIGTERM


ONCE_THAT_ASKS_BRIEFLY = """
import sys
from rele.cli import main, run_once
run_once._ANSWERS_WITHIN = 1.0
sys.exit(main(["run-once", "jobs", "--wait", "1"]))
"""


@pytest.mark.both_engines(slow="google")
def test_a_connection_that_is_lost_without_a_word_is_an_error(jobs: Project) -> None:
    publish_jobs(jobs, [1])
    with Proxy(jobs.environment["PUBSUB_EMULATOR_HOST"]) as proxy:
        jobs.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        once = jobs.start("-c", ONCE_THAT_ASKS_BRIEFLY)
        read_until(once.stdout, "handled 1")
        proxy.stall()
        output, _ = once.communicate(timeout=60)

    assert once.returncode == 1, output
    assert "Error: Whether more waits in jobs is not known: " in output
    assert "Traceback" not in output


def test_a_name_that_is_none(jobs: Project) -> None:
    status, output = jobs.run("-m", "rele", "run-once", "jbos")

    assert status == 1
    assert "This project has no subscription 'jbos'. Did you mean 'jobs'?" in output


def has_copy(project: Project) -> bool:
    """Whether a temporary subscription of the project is at the server."""
    status, output = project.run("-m", "rele", "emulator", "--status")
    assert status == 0, output
    return f"{project.project_id}/rele-tail-" in output


def stop(tail: subprocess.Popen[str], signum: int) -> None:
    tail.send_signal(signum)
    output, _ = tail.communicate(timeout=30)
    assert tail.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_topic_is_shown_until_ctrl_c_and_nothing_remains(jobs: Project, signum: int) -> None:
    tail = jobs.start("-m", "rele", "tail", "jobs")
    read_until(tail.stdout, "Showing what is published to")

    publish_jobs(jobs, [1, 2])

    shown = read_until(tail.stdout, "  2  published_at=")
    assert "  1  published_at=" in shown
    assert has_copy(jobs)
    stop(tail, signum)
    assert not has_copy(jobs)


def test_the_messages_of_a_subscription_are_shown_and_left_to_its_workers(jobs: Project) -> None:
    publish_jobs(jobs, [1, 2])

    status, shown = jobs.run(
        "-m", "rele", "tail", "--subscription", "jobs", "--max", "2", "--format", "json"
    )

    assert status == 0, shown
    assert '"data": "1"' in shown
    assert '"data": "2"' in shown
    assert not has_copy(jobs)
    assert "Handled 2 message(s) of jobs." in jobs.run(*ONCE)[1]


def test_it_ends_quietly_when_nobody_reads_it_any_more(jobs: Project) -> None:
    tail = subprocess.Popen(
        [sys.executable, "-m", "rele", "tail", "jobs"],
        cwd=jobs.folder,
        env=jobs.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tail.stdout is not None
    assert tail.stderr is not None
    read_until(tail.stderr, "Showing what is published to")
    publish_jobs(jobs, [1])
    read_until(tail.stdout, "  1  published_at=")

    tail.stdout.close()
    publish_jobs(jobs, [2])

    assert tail.wait(30) == 128 + signal.SIGPIPE
    assert tail.stderr.read() == ""
    tail.stderr.close()
    assert not has_copy(jobs)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["jbos"], "There is no topic 'jbos' in the project {}. Did you mean 'jobs'?"),
        (
            ["--subscription", "jbos"],
            "There is no subscription 'jbos' in the project {}. Did you mean 'jobs'?",
        ),
        (["a/b"], "'a/b' is not the path of a topic, projects/PROJECT/topics/NAME."),
    ],
    ids=["topic", "subscription", "path"],
)
def test_what_is_missing_is_one_clear_line(jobs: Project, arguments: list[str], error: str) -> None:
    status, output = jobs.run("-m", "rele", "tail", *arguments)

    assert status == 1
    assert output.splitlines()[-1] == f"Error: {error.format(jobs.project_id)}"
    assert "Traceback" not in output


TAIL_THAT_LOOKS_OFTEN = """
import sys
from rele.cli import main, tail
tail._LONGEST_PULL = 0.5
sys.exit(main(["tail", "jobs"]))
"""


def test_it_ends_when_the_topic_is_deleted(jobs: Project) -> None:
    tail = jobs.start("-c", TAIL_THAT_LOOKS_OFTEN)
    read_until(tail.stdout, "Showing what is published to")

    with pubsub_v1.PublisherClient() as publisher:
        publisher.delete_topic(topic=f"projects/{jobs.project_id}/topics/jobs")

    output, _ = tail.communicate(timeout=30)
    assert tail.returncode == 1
    assert output == "Error: The topic was deleted: nothing more is published to it.\n"
    assert not has_copy(jobs)


COMPLETE = """
eval "$(register-python-argcomplete rele-cli)"
COMP_LINE="rele-cli $1" COMP_POINT=$((9 + ${#1})) COMP_TYPE=9
COMP_WORDS=(rele-cli $1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete rele-cli "${COMP_WORDS[$COMP_CWORD]}" ""
echo "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"), [("ta", "tail"), ("tail --sub", "--subscription"), ("run-", "run-once")]
)
def test_bash_completes_words(tmp_path: Path, words: str, completed: str) -> None:
    scripts = Path(sys.executable).parent
    finished = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", words],
        env={"PATH": f"{scripts}:/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert finished.stdout.split() == [completed], finished.stderr
