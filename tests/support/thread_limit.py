"""A real limit on the threads of this process: for programs that tests start."""

from __future__ import annotations

import ctypes
import os
import resource

_NOBODY_ELSE = 54321
"""A user id that no other process has."""


class ThreadLimit:
    """RLIMIT_NPROC as a container's limit of pids: while it is on, no thread can be started.

    The superuser is exempt from the limit, so the process gives up being root for good. Files stay
    readable as before.
    """

    def __init__(self) -> None:
        if os.geteuid() == 0:
            os.setresuid(_NOBODY_ELSE, _NOBODY_ELSE, 0)
            ctypes.CDLL(None).setfsuid(0)

    def begin(self) -> None:
        self._set(1)

    def end(self) -> None:
        self._set(resource.getrlimit(resource.RLIMIT_NPROC)[1])

    def _set(self, number: int) -> None:
        resource.setrlimit(
            resource.RLIMIT_NPROC, (number, resource.getrlimit(resource.RLIMIT_NPROC)[1])
        )
