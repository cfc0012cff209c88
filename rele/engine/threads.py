"""Starting threads, with a clear error if the system starts no more of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rele.exceptions import ThreadStartError


def start_thread(name: str, target: Callable[[], object]) -> threading.Thread:
    """Start a thread that does not delay the end of the process.

    Raises:
        ThreadStartError: the system starts no more threads.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ThreadStartError(name) from error
    return thread


def start_all_threads(executor: ThreadPoolExecutor, threads: int, name: str) -> None:
    """Let the idle ``executor`` start all its threads now, rather than on demand.

    Raises:
        ThreadStartError: the system starts no more threads.
    """
    may_end = threading.Event()
    try:
        for _ in range(threads):
            executor.submit(may_end.wait)
    except RuntimeError as error:
        raise ThreadStartError(name) from error
    finally:
        may_end.set()
