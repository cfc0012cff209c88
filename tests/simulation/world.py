"""Plays a scenario, and checks what happened."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from rele.emulator.delivery.message import StoredMessage
from rele.engine.native.consuming.ordered_step import LONGEST_BACKOFF, PATIENCE
from tests.simulation.clockwork import Clockwork, EndlessLoopError
from tests.simulation.faults import RESTARTED_WITHIN, Faults
from tests.simulation.network import Network
from tests.simulation.scenario import (
    Fault,
    Published,
    Scenario,
    scenario_in_batches,
    scenario_of,
    scenario_of_tasks,
    scenario_with_pauses,
)
from tests.simulation.server import Server
from tests.simulation.worker import Surroundings, Worker
from tests.support.history import (
    Bounded,
    HandledOnce,
    History,
    InOrder,
    LastWord,
    LeaseHeld,
    NothingIsLost,
    OneAtATime,
    StopsInTime,
    check,
)


@dataclass(frozen=True)
class Result:
    """How a scenario went."""

    scenario: Scenario
    history: History
    broken: list[str]
    """How rules were broken."""
    seconds: float
    """Of virtual time."""


KINDS_OF_HANDLERS = {
    "threads": scenario_of,
    "batches": scenario_in_batches,
    "tasks": scenario_of_tasks,
    "pauses": scenario_with_pauses,
}


def play_seed(seed: int, handlers: str = "threads") -> Result:
    """Play the scenario of a seed with one of the :data:`KINDS_OF_HANDLERS`."""
    return play(KINDS_OF_HANDLERS[handlers](seed), seed)


def play(scenario: Scenario, seed: int = 0) -> Result:
    """Play a scenario; ``seed`` decides what it leaves open."""
    return _World(scenario, Random(seed + 1_000_003)).play()


class _World:
    def __init__(self, scenario: Scenario, random: Random) -> None:
        self._scenario = scenario
        self._random = random
        self._clockwork = clockwork = Clockwork(random)
        keys = {each.number: each.key for each in scenario.messages if each.key}
        self._history = history = History(keys)
        network = Network(clockwork, random, scenario.latency)
        self._server = Server(clockwork, history, scenario.server)
        behaviours = {each.number: each.behaviour for each in scenario.messages}
        self._around = Surroundings(
            clockwork, random, network, self._server, history, behaviours, {}
        )
        self._workers: list[Worker] = []
        self._started = 0
        self._unpublished = len(scenario.messages)
        self._to_publish: list[Published] = []
        self._is_over = False
        self._faults = Faults(clockwork, random, network, self._server, self._serving)
        self._broken: list[str] = []

    def play(self) -> Result:
        scenario, clockwork = self._scenario, self._clockwork
        for _ in range(scenario.workers):
            self._start_worker()
        for message in scenario.messages:
            clockwork.at(message.at, self._publish, message)
        for fault in scenario.faults:
            clockwork.at(fault.at, self._let_happen, fault)
        for at in scenario.deploys:
            clockwork.at(at, self._deploy)
        try:
            clockwork.run(scenario.calm_at)
            self._run_until_done()
            self._stop_all()
        except EndlessLoopError as error:
            self._broken.append(str(error))
        return Result(scenario, self._history, self._check(), clockwork.now)

    def _run_until_done(self) -> None:
        """After the last fault, all resumes within a bounded time."""
        bound = self._clockwork.now + self._most_seconds()
        self._clockwork.run(bound, self._is_done)
        if not self._is_done():
            left = self._server.unacknowledged
            self._broken.append(f"Resumes: {left} not handled {self._most_seconds():.0f} s later")

    def _stop_all(self) -> None:
        self._is_over = True
        for worker in self._serving():
            worker.stop(self._scenario.stop_timeout)
        self._clockwork.run(self._clockwork.now + self._scenario.stop_timeout + 60.0)

    def _is_done(self) -> bool:
        return not self._unpublished and not self._server.unacknowledged

    def _most_seconds(self) -> float:
        """How long it may take, after the last fault, until all is handled."""
        scenario = self._scenario
        silent_for, reopened, leases, kinds = 345.0, 60.0, 2 * 60.0, scenario.messages
        work = sum(each.behaviour.seconds for each in kinds)
        again = sum(
            each.behaviour.times * (each.behaviour.delay + each.behaviour.seconds + 75.0)
            for each in kinds
        )
        is_endless = any(each.behaviour.kind == "never returns" for each in kinds)
        poison = sum(each.behaviour.kind == "poison" for each in kinds) * 8 * 30.0
        endless = 2 * scenario.options.max_lease_duration if is_endless else 0.0
        # For so long a key may be held behind each message that fails and that another worker gets.
        failures = sum(
            max(each.behaviour.times, 1) for each in kinds if each.behaviour.kind != "works"
        )
        held = (1 + failures) * (LONGEST_BACKOFF + PATIENCE) if scenario.server.is_ordered else 0.0
        return silent_for + reopened + leases + 3 * work + again + endless + poison + held

    def _publish(self, message: Published) -> None:
        """Publish a message, after those that were published before it."""
        self._to_publish.append(message)
        if len(self._to_publish) == 1:
            self._publish_all()

    def _publish_all(self) -> None:
        if not self._server.is_up:
            self._clockwork.after(0.5, self._publish_all)
            return
        messages, self._to_publish = self._to_publish, []
        for message in messages:
            self._accept(message)

    def _accept(self, message: Published) -> None:
        self._unpublished -= 1
        now = int(self._clockwork.now * 1_000_000)
        stored = StoredMessage(message.number, now, b"", message.key, message.size)
        self._server.publish(stored)

    def _let_happen(self, fault: Fault) -> None:
        self._history.add(self._clockwork.now, "fault", detail=fault.seconds, worker=str(fault))
        self._faults.happen(fault)

    def _deploy(self) -> None:
        """Start new workers, and stop the old ones."""
        old = self._serving()
        for _ in range(self._scenario.workers):
            self._start_worker()
        for worker in old:
            worker.stop(self._scenario.stop_timeout)

    def _serving(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.is_draining]

    def _start_worker(self) -> None:
        if self._is_over:
            return
        self._started += 1
        worker = Worker(f"w{self._started}", self._around, self._scenario.options, self._replace)
        self._workers.append(worker)
        worker.start()

    def _replace(self, worker: Worker) -> None:
        """A process has ended: start another one, unless others serve."""
        self._workers.remove(worker)
        if len(self._serving()) < self._scenario.workers:
            self._clockwork.after(RESTARTED_WITHIN * self._random.random(), self._start_worker)

    def _check(self) -> list[str]:
        history, options = self._history, self._scenario.options
        messages = options.max_messages if self._scenario.server.respects_limits else None
        rules = [
            NothingIsLost(history, self._server.unacknowledged),
            InOrder(history),
            OneAtATime(history),
            Bounded(history, options.threads, messages),
            StopsInTime(history),
            HandledOnce(history),
            LastWord(history),
            *([] if _has_stopped_clocks(self._scenario) else [LeaseHeld(history)]),
        ]
        return [*self._broken, *check(history, rules)]


def _has_stopped_clocks(scenario: Scenario) -> bool:
    """Whether a worker cannot know how much time has passed."""
    return any(fault.kind == "stop_clock" for fault in scenario.faults)
