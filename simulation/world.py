"""A world: everything there is in it, under one seed, from its beginning until it has come to rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from simulation.agenda import Agenda
from simulation.agents import Script
from simulation.clients import Clients
from simulation.demand import Violation
from simulation.faults import Faults
from simulation.network import Connection
from simulation.oracle import Oracle
from simulation.plane import Plane
from simulation.process import Process
from simulation.rest import unrest
from simulation.store import Store
from simulation.weather import Weather
from simulation.worker import Worker
from taskrun.domain.records import TaskSpec
from taskrun.domain.status import FailureKind
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers

#: Seconds by which everything has come to rest when nothing goes wrong any more.
PATIENCE = 7200.0
#: Seconds between two looks at whether it has.
_LOOK = 5.0
#: In so many worlds clients talk with agents.
_TALKS = 0.25
#: In so many worlds agents have longer to stop than a control plane waits for a word of it.
_LENIENT = 0.25
#: Seconds within which a worker that has nothing to do leaves.
_FAREWELL = 30.0
#: What takes each line of the story: the time, who it is about, what that one does, and facts.
Tell = Callable[[float, str, str, tuple[object, ...]], None]


class World:
    """One history."""

    def __init__(self, seed: int, tell: Tell | None = None) -> None:
        self.seed = seed
        self._tell = tell
        self.chance = Random(seed)
        #: Whether clients talk with agents. Not in every world: a message keeps workers awake and tasks waiting.
        self.talks = Random(f"talk {seed}").random() < _TALKS
        lenient = Random(f"lenient {seed}").random() < _LENIENT
        self.daemon_timers = DaemonTimers(stop_grace=30.0) if lenient else DaemonTimers()
        self.plane_timers = ControlPlaneTimers(grace=150.0) if lenient else ControlPlaneTimers()
        self.agenda = Agenda()
        #: What went wrong, how often.
        self.counts = Counter[str]()
        self.faults = Faults(self.chance)
        self.drains = "worker drained" in self.faults.every
        self.sets_clocks = "clock set" in self.faults.every
        self.note("weather", str(self.faults))
        self.oracle = Oracle(self)
        self.store = Store(self)
        self.plane = Plane(self, self.agenda, self.chance)
        self.workers = [self._worker(number) for number in range(self.chance.choice((1, 2, 2, 3)))]
        self.clients = Clients(self)
        self.weather = Weather(self)
        self._connections: dict[Connection, None] = {}

    @property
    def processes(self) -> list[Process]:
        """All that can die."""
        return [self.plane, *self.workers]

    def run(self) -> None:
        """Everything, from the beginning to the end. Raises `Violation`, or whatever else breaks."""
        for process in (self.clients, *self.processes):
            process.begin()
        for _ in range(self.chance.randint(1, 8)):
            spec = self._spec()
            for _ in range(self.chance.choice((1, 1, 1, 2)) if spec.idempotency_key else 1):
                self.agenda.after(self.chance.uniform(0, self.faults.last / 2), self.clients.create, spec)
        self.weather.begin()
        self.agenda.run(self.faults.last)
        self.note("weather", "nothing goes wrong any more")
        self.weather.stop()
        self._rest()
        self.oracle.judge()
        self._leave()

    def happens(self, what: str) -> bool:
        """Whether this fault happens now; then it counts."""
        odds = self.faults.odds.get(what)
        if odds is None or self.chance.random() >= odds:
            return False
        self.counts[what] += 1
        return True

    def happens_half(self) -> bool:
        """A coin."""
        return self.chance.random() < 0.5

    def count(self, what: str, times: int = 1) -> None:
        """This happened."""
        self.counts[what] += times

    def note(self, who: str, what: str, *facts: object) -> None:
        """A line of the story, for whoever wants to read it."""
        if self._tell is not None:
            self._tell(self.agenda.time, who, what, facts)

    def worker(self, name: str) -> Worker:
        """The worker of this name."""
        return next(worker for worker in self.workers if worker.name == name)

    def connect(self, worker: Worker) -> Connection:
        """A stream from the worker to the control plane."""
        connection = Connection(self, worker, worker.life)
        self._connections[connection] = None
        return connection

    def connections(self) -> list[Connection]:
        """The streams that one of both ends still has."""
        for connection in [each for each in self._connections if not each.alive]:
            del self._connections[connection]
        return list(self._connections)

    def _rest(self) -> None:
        until = self.agenda.time + PATIENCE
        while any(unrest(self)):
            if self.agenda.time > until:
                raise Violation(f"it does not come to rest: {'; '.join(unrest(self))}")
            self.clients.end_what_hangs()
            self.agenda.run(self.agenda.time + _LOOK)

    def _leave(self) -> None:
        """The workers drain: none has anything left to do, so each finishes."""
        self.note("weather", "the workers are to leave")
        lives = {worker: worker.life for worker in self.workers}
        for worker in self.workers:
            worker.drain()
        self.agenda.run(self.agenda.time + _FAREWELL)
        for worker, life in lives.items():
            if worker.life == life:
                raise Violation(f"{worker.name} does not leave")

    def _worker(self, number: int) -> Worker:
        offers = ("echo", "rare") if number == 0 else ("echo",)
        return Worker(self, self.agenda, self.chance, f"w{number}", offers, self.chance.randint(1, 3))

    def _spec(self) -> TaskSpec:
        chance = self.chance
        return TaskSpec(
            chance.choice(("echo", "echo", "rare")),
            Script.drawn(chance).text(),
            priority=chance.randrange(3),
            timeout_ms=chance.choice((0, 0, 0, 20_000, 120_000)),
            silence_timeout_ms=chance.choice((0, 0, 0, 30_000)),
            max_attempts=chance.choice((1, 3, 3, 10)),
            retry_on=chance.choice((frozenset(), frozenset({FailureKind.AGENT_ERROR, FailureKind.TIMEOUT}))),
            idempotency_key=chance.choice(("", f"key-{chance.random()}", f"key-{chance.random()}")),
        )
