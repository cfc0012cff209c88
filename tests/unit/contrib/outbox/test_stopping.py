from __future__ import annotations

import os
import signal
import threading
import time

from rele.contrib.outbox.stopping import Stop


def test_waits_in_vain_until_it_is_set() -> None:
    stop = Stop()

    assert not stop.wait(0.01)
    assert not stop.is_set()

    stop.set()

    assert stop.wait(60)
    assert stop.wait(60), "a second one that waits is told, too"
    assert stop.is_set()


def test_ends_a_wait_that_has_begun() -> None:
    stop = Stop()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()

    assert stop.wait(60)

    assert time.monotonic() - began < 30


def test_a_signal_handler_may_set_it_in_the_middle_of_a_wait() -> None:
    stops = [Stop() for _ in range(200)]
    current = iter(stops)
    before = signal.signal(signal.SIGUSR1, lambda *_: next(current).set())
    try:
        for stop in stops:
            killer = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
            killer.start()
            assert stop.wait(20)
            killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
