"""What goes wrong, and when: it comes over somebody from time to time, until it stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation.process import Process

if TYPE_CHECKING:
    from simulation.world import World

#: The longest that a process is frozen, and that a line is held. Seconds.
_FROZEN = 300.0
_HELD = 200.0
#: How long a worker is cut off: about as long as either side has patience. Seconds.
_CUT_OFF = (80.0, 250.0)
#: How long it takes at least and at most until who died begins again. Seconds.
_START, _DEAD = 0.5, 150.0
#: By how much a wall clock is set wrong at the most. Seconds.
_WRONG = 3600.0


class Weather:
    """Brings about the faults of a world."""

    def __init__(self, world: World) -> None:
        self._world, self._chance = world, world.chance
        self._happen: dict[str, Callable[[], bool]] = {
            "connection cut": self._cut,
            "line held": self._hold,
            "worker cut off": self._cut_off,
            "watch broken": self._break_a_watch,
            "worker killed": self._kill_a_worker,
            "worker frozen": self._freeze_a_worker,
            "worker drained": self._drain_a_worker,
            "control plane killed": self._kill_the_plane,
            "control plane frozen": self._freeze_the_plane,
            "clock set": self._set_a_clock,
        }

    def begin(self) -> None:
        """From now on."""
        for what in self._world.faults.every:
            self._arm(what)

    def stop(self) -> None:
        """All that lasts is over, and whoever is dead lives."""
        world = self._world
        world.faults.stop()
        for connection in world.connections():
            connection.hold(0.0, up=True, down=True)
            if world.faults.unreal:
                # Its ends have counted its frames, and each another number: the next one puts that right.
                connection.cut()
        for worker in world.workers:
            worker.cut_off_until = 0.0
        for process in world.processes:
            process.thaw()
            if not process.alive:
                process.begin()

    def begin_again(self, process: Process) -> None:
        """Who ended begins again after a while."""
        self._world.agenda.after(_START + self._while(_DEAD), self._begin, process, process.life)

    def _begin(self, process: Process, life: int) -> None:
        if process.life == life:
            process.begin()

    def _arm(self, what: str) -> None:
        mean = self._world.faults.every[what]
        self._world.agenda.after(self._chance.expovariate(1 / mean), self._come, what)

    def _come(self, what: str) -> None:
        if what in self._world.faults.every:
            if self._happen[what]():
                self._world.count(what)
            self._arm(what)

    def _while(self, longest: float) -> float:
        """Mostly short."""
        return longest * self._chance.random() ** 4

    def _short_or_long(self, longest: float) -> float:
        return self._chance.choice((self._while(longest), self._chance.uniform(0, longest)))

    # What comes, and whether there was anybody whom it could come over.

    def _cut(self) -> bool:
        connections = self._world.connections()
        if not connections:
            return False
        connection = self._chance.choice(connections)
        self._world.note("network", f"cuts a stream of {connection.worker.name}")
        connection.cut()
        return True

    def _hold(self) -> bool:
        up, down = self._chance.choice(((True, True), (True, False), (False, True)))
        return self._hold_line(self._while(_HELD), up, down)

    def _cut_off(self) -> bool:
        return self._hold_line(self._chance.uniform(*_CUT_OFF), up=True, down=True)

    def _hold_line(self, seconds: float, up: bool, down: bool) -> bool:
        world = self._world
        worker = self._chance.choice(world.workers)
        ways = " and ".join(way for way, held in (("to", down), ("from", up)) if held)
        world.note("network", f"holds the line {ways} {worker.name} for {seconds:.3f} s")
        worker.cut_off_until = until = world.agenda.time + seconds
        for connection in world.connections():
            if connection.worker is worker:
                connection.hold(until, up, down)
        return True

    def _break_a_watch(self) -> bool:
        watchers = [watcher for watcher in self._world.clients.watchers if not watcher.over]
        if watchers:
            self._chance.choice(watchers).break_off()
        return bool(watchers)

    def _kill_a_worker(self) -> bool:
        worker = self._chance.choice(self._world.workers)
        had_runs = worker.alive and bool(worker.agents)
        worker.crash()
        return had_runs

    def _freeze_a_worker(self) -> bool:
        return self._freeze(self._chance.choice(self._world.workers))

    def _drain_a_worker(self) -> bool:
        worker = self._chance.choice(self._world.workers)
        worker.drain()
        return worker.alive

    def _kill_the_plane(self) -> bool:
        alive = self._world.plane.alive
        self._world.plane.crash()
        return alive

    def _freeze_the_plane(self) -> bool:
        return self._freeze(self._world.plane)

    def _freeze(self, process: Process) -> bool:
        if not process.alive or process.frozen:
            return False
        seconds = self._short_or_long(_FROZEN)
        self._world.note(process.name, f"is frozen for {seconds:.3f} s")
        process.freeze(seconds)
        return True

    def _set_a_clock(self) -> bool:
        process = self._chance.choice(self._world.processes)
        process.utc_shift_ms = round(1000 * self._chance.uniform(-_WRONG, _WRONG))
        self._world.note(process.name, f"has its wall clock set to {process.utc_shift_ms} ms")
        return True
