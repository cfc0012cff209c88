"""How a process has ended, in words."""

from __future__ import annotations

import signal

from rele.runtime.stopping import STOP_SIGNALS

_OUT_OF_MEMORY = (
    "was killed by SIGKILL: unless somebody has killed it, the system or the container was out of "
    "memory"
)


def describe_end(returncode: int) -> str:
    """A predicate for the end of a process, such as ``ended with status 3``.

    Args:
        returncode: as :class:`subprocess.Popen` has it: a negative number is that of a signal.
    """
    if returncode >= 0:
        unasked = " although nobody has asked it to stop" if returncode == 0 else ""
        return f"ended with status {returncode}{unasked}"
    if -returncode == signal.SIGKILL:
        return _OUT_OF_MEMORY
    return f"was ended by {_name_of(-returncode)}"


def is_stop_signal(returncode: int) -> bool:
    """Whether one of the signals that stop a process has ended it."""
    return returncode < 0 and _name_of(-returncode).partition(" ")[0] in STOP_SIGNALS


def _name_of(signum: int) -> str:
    """Such as ``SIGSEGV (Segmentation fault)``."""
    try:
        name = signal.Signals(signum).name
    except ValueError:
        return f"the signal {signum}"
    return f"{name} ({signal.strsignal(signum)})"
