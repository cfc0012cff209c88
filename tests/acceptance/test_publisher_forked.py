"""Children that end without exit handlers, and the setting that lets their publishes wait."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.support.project import Project

if sys.platform == "win32":
    pytest.skip("Windows does not fork.", allow_module_level=True)

pytestmark = pytest.mark.both_engines(slow="google")

FORK = """
    import os
    import warnings

    import rele

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads
    rele.publish("events", 0, blocking=True, timeout=20)
    for number in range(1, 6):
        child = os.fork()
        if child == 0:
            rele.publish("events", number, timeout=20)
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
"""


def test_a_child_that_ends_by_itself_has_sent_what_it_published(
    project: Project, events: Callable[[], set[int]]
) -> None:
    project.write_settings(PUBLISHER_FORKED="wait", PUBLISHER_TIMEOUT=20)

    assert project.run(str(project.write("publish.py", FORK))) == (0, "")

    assert events() == set(range(6))
