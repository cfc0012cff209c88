"""What was published is sent, although the process ends at once.

``.ci/run`` runs this file on every other interpreter that it finds, too: from Python 3.12 on no
thread can be started while the interpreter shuts down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.both_engines(slow="google")

CountEvents = Callable[[], int]


class TestExit:
    """Each process ends in another way, right after its last publish."""

    def test_2000_publishes_and_a_normal_exit(
        self, project: Project, count_events: CountEvents
    ) -> None:
        script = project.write(
            "publish.py",
            """
            import rele

            for number in range(2000):
                rele.publish("events", number)
            """,
        )

        status, output = project.run(str(script))

        assert (status, output) == (0, "")
        assert count_events() == 2000

    def test_a_single_publish_that_opens_a_batch(
        self, project: Project, count_events: CountEvents
    ) -> None:
        script = project.write("publish.py", 'import rele\nrele.publish("events", 1)\n')

        status, output = project.run(str(script))

        assert (status, output) == (0, "")
        assert count_events() == 1

    def test_ordered_messages(self, project: Project, count_events: CountEvents) -> None:
        script = project.write(
            "publish.py",
            """
            import rele

            for number in range(500):
                rele.publish("events", number, ordering_key=str(number % 3))
            """,
        )

        status, output = project.run(str(script))

        assert (status, output) == (0, "")
        assert count_events() == 500

    def test_publishing_while_the_interpreter_shuts_down(
        self, project: Project, count_events: CountEvents
    ) -> None:
        script = project.write(
            "publish.py",
            """
            import atexit
            import rele

            @atexit.register
            def say_goodbye():
                rele.publish("events", "x" * 2_000_000)
                for number in range(150):
                    rele.publish("events", number)

            rele.publish("events", "hello")
            """,
        )

        status, output = project.run(str(script))

        assert (status, output) == (0, "")
        assert count_events() == 152

    def test_publishing_for_the_first_time_while_the_interpreter_shuts_down(
        self, project: Project, count_events: CountEvents
    ) -> None:
        script = project.write(
            "publish.py",
            """
            import atexit
            import rele

            @atexit.register
            def say_goodbye():
                for number in range(20):  # an exit handler registered now is not called
                    rele.publish("events", number)
            """,
        )

        status, output = project.run(str(script))

        assert (status, output) == (0, "")
        assert count_events() == 20

    def test_threads_that_publish_after_the_main_thread_has_returned(
        self, project: Project, count_events: CountEvents
    ) -> None:
        script = project.write(
            "publish.py",
            """
            import sys
            import threading
            import rele

            def publish():
                threading.main_thread().join()
                for number in range(100):
                    rele.publish("events", number)

            if sys.argv[1] == "again":
                rele.publish("events", -1)
            threading.Thread(target=publish).start()
            """,
        )

        for mode in ("first", "again"):
            assert project.run(str(script), mode) == (0, "")

        assert count_events() == 201

    def test_sys_exit_and_an_exception(self, project: Project, count_events: CountEvents) -> None:
        script = project.write(
            "publish.py",
            """
            import sys
            import rele

            rele.publish("events", 1)
            if sys.argv[1] == "raise":
                raise ValueError("the end")
            sys.exit(3)
            """,
        )

        assert project.run(str(script), "exit") == (3, "")
        status, output = project.run(str(script), "raise")

        assert status == 1
        assert output.rstrip().endswith("ValueError: the end")
        assert count_events() == 2

    def test_hooks_run_before_the_process_ends(
        self, project: Project, count_events: CountEvents
    ) -> None:
        project.write(
            "hooks.py",
            """
            import os

            from rele.middleware import BaseMiddleware

            class Counter(BaseMiddleware):
                def post_publish_success(self, topic, data, attrs):
                    os.write(1, f"sent {data}\\n".encode())  # in one piece, whatever thread
            """,
        )
        project.write_settings(MIDDLEWARE=["hooks.Counter"])
        script = project.write(
            "publish.py",
            'import rele\nfor number in range(50):\n    rele.publish("events", number)\n',
        )

        status, output = project.run(str(script))

        assert status == 0
        assert sorted(output.split("\n")[:-1]) == sorted(f"sent {n}" for n in range(50))

    def test_a_refused_message_is_one_line_and_its_error(
        self, project: Project, count_events: CountEvents
    ) -> None:
        project.write_settings(MIDDLEWARE=["rele.contrib.LoggingMiddleware"])
        script = project.write("publish.py", 'import rele\nrele.publish("order-payed", 1)\n')

        status, output = project.run(str(script))

        assert status == 0
        line = (
            f"the topic 'order-payed' does not exist in project {project.project_id}. Run the "
            "worker that subscribes to it, or create it."
        )
        assert output.splitlines() == [
            f"Publishing to order-payed failed: {line}",
            f"google.api_core.exceptions.NotFound: 404 {line}",
        ]

    def test_an_unreachable_server_is_a_loss_that_the_log_counts(
        self, project: Project, count_events: CountEvents
    ) -> None:
        project.environment["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:1"
        project.write_settings(PUBLISHER_TIMEOUT=1.0)
        script = project.write(
            "publish.py",
            'import rele\nfor number in range(7):\n    rele.publish("events", number)\n',
        )

        status, output = project.run(str(script))

        assert status == 0
        assert "7 published message(s) were lost" in output


def test_the_settings_are_found_in_the_folder_of_the_script(project: Project) -> None:
    (project.folder / "settings.py").unlink()
    script = project.write("publish.py", 'import rele\nrele.publish("events", 1)\n')

    status, output = project.run(str(script))

    assert status == 1
    assert "Relé is not set up: call rele.setup" in output
    assert Path(project.folder).exists()
