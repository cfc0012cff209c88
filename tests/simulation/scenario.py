"""What a seed stands for: a subscription, messages, workers, deploys and faults."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random

from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from tests.simulation.handlers import Behaviour
from tests.simulation.server import ServerOptions

CODES = (
    None,
    "UNAVAILABLE",
    "INTERNAL",
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "UNKNOWN",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "NOT_FOUND",
)
"""What a stream may end with; ``None`` stands for OK."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at a time, for a while."""

    at: float
    kind: str
    """The name of a method of :class:`tests.simulation.faults.Faults`."""
    seconds: float = 0.0
    worker: int = 0
    """Which of the workers that live then: its number, modulo their number."""
    code: str | None = None

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind.replace('_', ' ')}{lasts}"


@dataclass(frozen=True)
class Published:
    """A message of a scenario."""

    at: float
    number: int
    key: str
    size: int
    behaviour: Behaviour


@dataclass(frozen=True)
class Scenario:
    """All that happens from outside."""

    options: ConsumerOptions
    server: ServerOptions
    messages: tuple[Published, ...]
    latency: tuple[float, float] = (0.001, 0.003)
    """Seconds of one transport."""
    workers: int = 1
    faults: tuple[Fault, ...] = ()
    deploys: tuple[float, ...] = ()
    """When all workers are replaced by new ones."""
    stop_timeout: float = 10.0
    """Seconds that a worker gets to stop."""
    calm_at: float = field(default=0.0)
    """When all is well again."""

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong but handlers."""
        return not self.faults


KINDS = (
    "lose_requests",
    "lose_answers",
    "fail_calls",
    "delay_requests",
    "slow_down",
    "end_stream",
    "end_streams_often",
    "silence_stream",
    "restart_server",
    "restart_emptied_server",
    "seek",
    "cut_worker",
    "reset_worker",
    "cut_all",
    "suspend_worker",
    "stop_clock",
    "kill_worker",
    "stop_worker",
)


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    return _Maker(Random(seed)).make()


def scenario_in_batches(seed: int) -> Scenario:
    """The scenario of a seed, with a handler of batches."""
    scenario, random = scenario_of(seed), Random(f"batches of {seed}")
    size = min(random.choice((1, 3, 10, 50)), scenario.options.max_messages)
    size = min(size, _most_within(scenario, scenario.options.max_lease_duration / 2))
    wait = random.choice((0.01, 0.2, 2.0))
    return replace(scenario, options=replace(scenario.options, batch_size=size, batch_wait=wait))


def scenario_of_tasks(seed: int) -> Scenario:
    """The scenario of a seed, with an async handler."""
    scenario, random = scenario_of(seed), Random(f"tasks of {seed}")
    most = scenario.options.threads * random.choice((1, 1, 10, 25))
    return replace(scenario, options=replace(scenario.options, threads=most, is_async=True))


def scenario_with_pauses(seed: int) -> Scenario:
    """The scenario of a seed, with any handler, in which somebody pauses workers and resumes them,
    or takes threads from them for a while.

    The same worker may be paused again before it is resumed.
    """
    random = Random(f"pauses of {seed}")
    scenario = random.choice((scenario_of, scenario_in_batches, scenario_of_tasks))(seed)
    pauses = [
        Fault(
            random.uniform(0.0, scenario.calm_at),
            random.choice(("pause_worker", "pause_worker", "take_threads")),
            random.choice((0.01, 0.3, 3.0, 20.0, 90.0)) * random.uniform(0.5, 1.5),
            random.randrange(4),
        )
        for _ in range(random.choice((1, 2, 5)))
    ]
    faults = sorted([*scenario.faults, *pauses], key=lambda fault: fault.at)
    calm_at = max(scenario.calm_at, *(fault.at + fault.seconds for fault in pauses))
    return replace(scenario, faults=tuple(faults), calm_at=calm_at)


def _most_within(scenario: Scenario, seconds: float) -> int:
    """How many messages a batch can have that is surely handled within some seconds."""
    longest = sorted((each.behaviour.seconds for each in scenario.messages), reverse=True)
    within = sum(total <= seconds for total in accumulate(longest))
    return max(within, 1)


class _Maker:
    """Makes a scenario of random numbers."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def make(self) -> Scenario:
        random = self._random
        server = self._server()
        options = self._options(server)
        calm = random.random() < 0.15
        lasts = random.choice((20.0, 60.0, 180.0))
        faults = () if calm else self._faults(lasts)
        messages = self._messages(server, options, lasts * random.choice((0.02, 0.5, 1.0)))
        deploys = [] if random.random() < 0.6 else [random.uniform(0.0, lasts)]
        ends = [lasts, *(fault.at + fault.seconds for fault in faults)]
        return Scenario(
            options,
            server,
            messages,
            latency=random.choice(((0.0005, 0.002), (0.005, 0.05), (0.2, 0.5))),
            workers=random.choice((1, 1, 2, 3)),
            faults=faults,
            deploys=tuple(deploys),
            stop_timeout=random.choice((1.0, 10.0, 30.0)),
            calm_at=max(ends),
        )

    def _server(self) -> ServerOptions:
        random = self._random
        has_dead_letters = random.random() < 0.4
        return ServerOptions(
            is_ordered=random.random() < 0.5,
            is_exactly_once=random.random() < 0.3,
            max_attempts=random.choice((5, 5, 8)) if has_dead_letters else None,
            backoff=random.choice((NO_BACKOFF, Backoff(0.1, 10.0), Backoff(1.0, 5.0))),
            answers_pings=random.random() < 0.8,
            respects_limits=random.random() < 0.9,
        )

    def _options(self, server: ServerOptions) -> ConsumerOptions:
        random = self._random
        return ConsumerOptions(
            threads=random.choice((1, 2, 2, 4, 8)),
            max_messages=random.choice((1, 3, 10, 50, 1000, 1000)),
            ack_deadline=random.choice((10, 20, 60, 60)),
            max_lease_duration=random.choice((120.0, 300.0)),
            is_exactly_once=server.is_exactly_once,
            max_attempts=server.max_attempts,
            streams=random.choice((1, 1, 1, 2)),
            adapts=random.random() < 0.8,
        )

    def _messages(
        self, server: ServerOptions, options: ConsumerOptions, lasts: float
    ) -> tuple[Published, ...]:
        random = self._random
        number = random.choice((5, 20, 40, 80, 200))
        keys = [f"k{n}" for n in range(random.choice((1, 2, 5, 20)))]
        slow = random.choice((0.002, 0.02, 0.2, 1.0))
        troubles = random.choice((0.0, 0.05, 0.2))
        endless = options.threads - 1
        published = []
        for n, at in enumerate(sorted(random.uniform(0.0, lasts) for _ in range(number)), start=1):
            behaviour = self._behaviour(server, slow, troubles, endless > 0)
            endless -= behaviour.kind == "never returns"
            key = random.choice(keys) if server.is_ordered and random.random() < 0.9 else ""
            size = random.choice((10, 100, 1000, 20_000))
            published.append(Published(at, n, key, size, behaviour))
        return tuple(published)

    def _behaviour(
        self, server: ServerOptions, slow: float, troubles: float, may_be_endless: bool
    ) -> Behaviour:
        random = self._random
        seconds = random.expovariate(1.0 / slow)
        if random.random() >= troubles:
            long = random.random() < 0.01
            return Behaviour(seconds=random.uniform(10.0, 100.0) if long else seconds)
        times = random.choice((1, 1, 2, 3))
        delay = 0 if server.backoff is not NO_BACKOFF else 10
        kind = random.choices(
            ("fails", "postpones", "never returns", "kills", "holds", "poison"),
            (8, 4, 1, 1, 2, 1),
        )[0]
        if kind == "never returns" and may_be_endless:
            return Behaviour("never returns", times=1)
        if kind == "kills":
            return Behaviour("kills", times=times)
        if kind == "holds":
            return Behaviour("holds", random.choice((2.0, 12.0, 40.0)), times=1)
        if kind == "postpones":
            return Behaviour("postpones", seconds, times, random.choice((5, 30, 60, 120)))
        if kind == "poison" and server.max_attempts is not None:
            return Behaviour("poison", seconds, delay=delay)
        return Behaviour("fails", seconds, times, delay)

    def _faults(self, lasts: float) -> tuple[Fault, ...]:
        random = self._random
        kinds = random.sample(KINDS, random.choice((1, 2, 4, 8)))
        faults = []
        for _ in range(random.choice((1, 2, 5, 10))):
            seconds = random.choice((0.3, 3.0, 20.0, 90.0)) * random.uniform(0.5, 1.5)
            faults.append(
                Fault(
                    random.uniform(0.0, lasts),
                    random.choice(kinds),
                    seconds,
                    random.randrange(4),
                    random.choice(CODES),
                )
            )
        return tuple(sorted(faults, key=lambda fault: fault.at))
