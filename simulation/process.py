"""A process: it begins, freezes, crashes and begins again, on a machine with clocks of its own."""

from __future__ import annotations

from random import Random
from typing import Any

from simulation.agenda import Act, Agenda
from taskrun.domain.now import Now

#: Unix ms at the beginning of the world.
_EPOCH_MS = 1_700_000_000_000
#: Seconds that a timer fires late, so that the moment it was set for is over by then.
_LATE = 0.001
#: Within so many seconds after a thaw everything comes that came meanwhile, in any order.
_AT_ONCE = 0.01


class Process:
    """What is to happen to it happens only in this life of it, and not while it is frozen."""

    def __init__(self, agenda: Agenda, chance: Random, name: str) -> None:
        self.agenda, self.chance, self.name = agenda, chance, name
        self.alive = False
        #: Counts its beginnings and its ends.
        self.life = 0
        self.frozen = False
        #: When it last thawed. Seconds of the world.
        self.thawed_at = float("-inf")
        #: By how much its wall clock is wrong.
        self.utc_shift_ms = 0
        self._mono_shift = 0.0
        self._held: list[tuple[int, Act, tuple[Any, ...]]] = []
        self._wakes_at = float("inf")

    def now(self) -> Now:
        """This moment on the clocks of its machine."""
        time = self.agenda.time
        return Now(time + self._mono_shift, _EPOCH_MS + round(time * 1000) + self.utc_shift_ms)

    def after(self, seconds: float, act: Act, *facts: Any) -> None:
        """`act(*facts)` so much later, if it still lives then; a frozen process does it when it has thawed."""
        self.agenda.at(self.agenda.time + seconds, self._do, self.life, act, facts)

    def at(self, time: float, act: Act, *facts: Any) -> None:
        """The same at this time of the world."""
        self.agenda.at(time, self._do, self.life, act, facts)

    def wake(self, mono: float | None, act: Act) -> None:
        """`act()` when its monotonic clock shows this. An earlier wish stands beside a later one: `act` has to look."""
        if mono is None:
            return
        time = max(mono - self._mono_shift, self.agenda.time) + _LATE
        if time < self._wakes_at:
            self._wakes_at = time
            self.at(time, self._woken, act)

    # Its life.

    def begin(self) -> None:
        """It runs from now on; its machine's monotonic clock begins anywhere."""
        self.alive = True
        self.life += 1
        self._mono_shift = self.chance.uniform(0, 100_000)
        self._wakes_at = float("inf")

    def end(self) -> None:
        """It is gone, with all that it knew and all that was to happen to it."""
        self.alive = False
        self.life += 1
        self._held.clear()
        self.frozen = False

    def freeze(self, seconds: float) -> None:
        """As by SIGSTOP: its clocks go on, and it sees nothing of that."""
        if not self.frozen:
            self.frozen = True
            self.agenda.after(seconds, self.thaw, self.life)

    def thaw(self, life: int | None = None) -> None:
        """All that came meanwhile comes at once."""
        if self.frozen and life in (None, self.life):
            self.frozen = False
            self.thawed_at = self.agenda.time
            held, self._held = self._held, []
            for then, act, facts in held:
                self.agenda.after(self.chance.uniform(0, _AT_ONCE), self._do, then, act, facts)

    def _do(self, life: int, act: Act, facts: tuple[Any, ...]) -> None:
        if life != self.life:
            return
        if self.frozen:
            self._held.append((life, act, facts))
        else:
            act(*facts)

    def _woken(self, act: Act) -> None:
        self._wakes_at = float("inf")
        act()
