"""What goes wrong: each method is a kind of fault."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.clockwork import Clockwork
from tests.simulation.network import Network
from tests.simulation.scenario import Fault
from tests.simulation.server import Server
from tests.simulation.worker import Worker

RESTARTED_WITHIN = 5.0
"""Seconds until a server or a worker that has died is there again."""


class Faults:
    """Lets faults happen, and ends them.

    Args:
        clockwork: the time.
        random: decides what a fault leaves open.
        network: between the workers and the server.
        server: the server.
        workers: returns those that live.
    """

    def __init__(
        self,
        clockwork: Clockwork,
        random: Random,
        network: Network,
        server: Server,
        workers: Callable[[], list[Worker]],
    ) -> None:
        self._clockwork = clockwork
        self._random = random
        self._network = network
        self._server = server
        self._workers = workers

    def happen(self, fault: Fault) -> None:
        """Let a fault happen."""
        getattr(self, fault.kind)(fault)

    # The network.

    def lose_requests(self, fault: Fault) -> None:
        self._set("lost_requests", 0.5, fault)

    def lose_answers(self, fault: Fault) -> None:
        self._set("lost_answers", 0.5, fault)

    def fail_calls(self, fault: Fault) -> None:
        self._set("failed_calls", 0.7, fault)

    def delay_requests(self, fault: Fault) -> None:
        self._set("late_requests", 0.5, fault)

    def slow_down(self, fault: Fault) -> None:
        self._set("slow", self._random.choice((0.5, 3.0, 8.0)), fault)

    def cut_worker(self, fault: Fault) -> None:
        self._cut(self._some_worker(fault), fault, is_reset=False)

    def reset_worker(self, fault: Fault) -> None:
        self._cut(self._some_worker(fault), fault, is_reset=True)

    def cut_all(self, fault: Fault) -> None:
        for worker in self._workers():
            self._cut(worker, fault, is_reset=self._random.random() < 0.5)

    # Streams.

    def end_stream(self, fault: Fault) -> None:
        """The server ends a stream with some status."""
        streams = self._server.streams
        if streams:
            stream = streams[fault.worker % len(streams)]
            self._server.end_stream(stream, fault.code)

    def end_streams_often(self, fault: Fault) -> None:
        """The server ends all streams, again and again."""
        end = self._clockwork.now + fault.seconds
        while (at := end - fault.seconds) < end:
            self._clockwork.at(at, self.end_stream, fault)
            fault = Fault(at, fault.kind, fault.seconds * 0.7 - 0.1, fault.worker + 1, fault.code)

    def silence_stream(self, fault: Fault) -> None:
        """What is sent on a stream gets lost without a word, in both directions."""
        streams = self._server.streams
        if streams:
            stream = streams[fault.worker % len(streams)]
            stream.to_client.is_dead = stream.to_server.is_dead = True
            self._clockwork.after(fault.seconds, self._server.lose_stream, stream)

    # Processes.

    def restart_server(self, fault: Fault) -> None:
        self._restart(fault, is_emptied=False)

    def restart_emptied_server(self, fault: Fault) -> None:
        self._restart(fault, is_emptied=True)

    def seek(self, fault: Fault) -> None:
        if self._server.is_up:
            self._server.seek()

    def suspend_worker(self, fault: Fault) -> None:
        if (worker := self._some_worker(fault)) is not None:
            worker.suspend(fault.seconds)

    def stop_clock(self, fault: Fault) -> None:
        """The machine of a worker is suspended: its monotonic clock does not count that time."""
        if (worker := self._some_worker(fault)) is not None:
            worker.suspend(fault.seconds, stops_clock=True)

    def kill_worker(self, fault: Fault) -> None:
        if (worker := self._some_worker(fault)) is not None:
            worker.kill()

    def stop_worker(self, fault: Fault) -> None:
        if (worker := self._some_worker(fault)) is not None:
            worker.stop(fault.seconds)

    def pause_worker(self, fault: Fault) -> None:
        if (worker := self._some_worker(fault)) is not None:
            worker.pause()
            self._clockwork.after(fault.seconds, worker.resume)

    def take_threads(self, fault: Fault) -> None:
        """A worker has one thread for a while, and then as many as before."""
        if (worker := self._some_worker(fault)) is not None:
            worker.set_threads(1)
            self._clockwork.after(fault.seconds, worker.set_threads, worker.threads)

    def _set(self, name: str, value: float, fault: Fault) -> None:
        setattr(self._network, name, value)
        self._clockwork.after(fault.seconds, setattr, self._network, name, 0.0)

    def _some_worker(self, fault: Fault) -> Worker | None:
        workers = self._workers()
        return workers[fault.worker % len(workers)] if workers else None

    def _cut(self, worker: Worker | None, fault: Fault, *, is_reset: bool) -> None:
        if worker is None:
            return
        worker.link.cut()
        self._clockwork.after(fault.seconds, self._mend, worker, is_reset)

    def _mend(self, worker: Worker, is_reset: bool) -> None:
        worker.link.mend(is_reset=is_reset)
        if is_reset:
            worker.reset()

    def _restart(self, fault: Fault, *, is_emptied: bool) -> None:
        if self._server.is_up:
            self._server.die(is_emptied=is_emptied)
            self._clockwork.after(min(fault.seconds, 30.0), self._server.start)
