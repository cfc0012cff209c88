"""The processes of Celery and RQ, which end by ``os._exit``: what a task published is sent."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest

from tests.support.project import Project, read_until

if sys.platform == "win32":
    pytest.skip("Celery's prefork pool and RQ run only on POSIX.", allow_module_level=True)

pytestmark = pytest.mark.both_engines(slow="google")

TASKS = 12

CELERY_APP = """
    import pathlib

    import celery
    import rele

    broker = pathlib.Path(__file__).parent / "broker"
    broker.mkdir(exist_ok=True)
    app = celery.Celery("app", broker="filesystem://")
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(broker),
            "data_folder_out": str(broker),
            "control_folder": str(broker),
            "polling_interval": 0.05,
        },
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=1,
    )

    @app.task
    def work(number):
        for part in range(3):
            rele.publish("events", number * 10 + part)
        print(f"task {number} has published", flush=True)
"""

CELERY_GOODBYE = """
    import os

    from celery.signals import worker_process_shutdown

    @worker_process_shutdown.connect
    def say_goodbye(pid, **kwargs):
        rele.publish("events", 1_000_000 + pid)
        os.write(1, f"goodbye {pid}\\n".encode())  # in one piece, whatever process
"""

JOBS = """
    import threading

    import rele

    def work(number):
        for part in range(3):
            rele.publish("events", number * 10 + part)

    def work_many(number):
        rele.publish_many("events", [number * 10 + part for part in range(3)])

    def work_in_a_thread(number):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        thread.join()
"""


def published(count: int = TASKS) -> set[int]:
    """The numbers that so many tasks publish."""
    return {number * 10 + part for number in range(count) for part in range(3)}


class TestCelery:
    """The prefork pool: its processes end without exit handlers and without finalizers."""

    def start(self, project: Project, *options: str) -> None:
        """Work off the tasks, then shut the worker down warmly."""
        enqueue = f"from app import work\nfor number in range({TASKS}):\n    work.delay(number)\n"
        assert project.run(str(project.write("enqueue.py", enqueue))) == (0, "")
        worker = project.start(
            *("-m", "celery", "-A", "app", "worker", "--pool", "prefork", "--concurrency", "3"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning"),
            *options,
        )
        output = ""
        for _ in range(TASKS):
            output += read_until(worker.stdout, "has published")
        worker.send_signal(signal.SIGTERM)
        rest, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0, output + rest
        self.output = output + rest

    @pytest.mark.parametrize("options", [(), ("--max-tasks-per-child", "1")], ids=str)
    def test_every_message_of_a_task_arrives(
        self, project: Project, events: Callable[[], set[int]], options: tuple[str, ...]
    ) -> None:
        project.write("app.py", CELERY_APP)

        self.start(project, *options)

        assert events() == published()

    def test_what_is_published_as_a_pool_process_shuts_down(
        self, project: Project, events: Callable[[], set[int]]
    ) -> None:
        project.write("app.py", CELERY_APP + CELERY_GOODBYE)

        self.start(project)

        said = {int(line.split()[1]) for line in self.output.splitlines() if "goodbye" in line}
        assert said
        assert events() == published() | {1_000_000 + pid for pid in said}


class TestRQ:
    """A work horse: it is forked (or spawned) for one job, and ends by ``os._exit``."""

    @pytest.mark.parametrize(
        ("job", "worker_class"),
        [
            ("work", "rq.worker.Worker"),
            ("work_many", "rq.worker.Worker"),
            ("work_in_a_thread", "rq.worker.Worker"),
            ("work_many", "rq.worker.SpawnWorker"),
            pytest.param("work", "rq.worker.SpawnWorker", marks=pytest.mark.slow),
            pytest.param("work_in_a_thread", "rq.worker.SpawnWorker", marks=pytest.mark.slow),
        ],
    )
    def test_every_message_of_a_job_arrives(
        self,
        project: Project,
        events: Callable[[], set[int]],
        redis_url: str,
        job: str,
        worker_class: str,
    ) -> None:
        project.write("jobs.py", JOBS)
        enqueue = project.write(
            "enqueue.py",
            f"""
            import jobs, redis, rq

            queue = rq.Queue({project.project_id!r}, connection=redis.Redis.from_url({redis_url!r}))
            for number in range(3):
                queue.enqueue(jobs.{job}, number)
            """,
        )
        assert project.run(str(enqueue)) == (0, "")

        status, output = project.run(
            *("-m", "rq.cli", "worker", "--burst", "--url", redis_url),
            *("--worker-class", worker_class, project.project_id),
        )

        assert status == 0, output
        assert events() == published(3), output
