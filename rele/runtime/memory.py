"""How much memory this process uses."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def resident_bytes() -> int:
    """The resident memory of this process, in bytes.

    Where there is no ``/proc``, as on macOS, it is the most that the process has ever used. Where
    the system tells neither, it is 0.
    """
    with suppress(OSError, ValueError, IndexError):
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 - faster
            return int(file.read(128).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return _peak_bytes()


def _peak_bytes() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
