"""What may go wrong in a world, and how often: each seed draws its own, so that worlds differ in kind.

A world in which everything goes wrong all the time explores little: no run lives long enough for what needs two quiet
minutes first. So each fault is off in many worlds, rare in some and a plague in others (swarm testing: Groce et al.,
ISSTA 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

#: What happens to somebody from time to time: the shortest and the longest mean time between two, in seconds.
EVENTS: Mapping[str, tuple[float, float]] = {
    "connection cut": (8, 120),
    "line held": (15, 150),
    "worker cut off": (40, 300),
    "watch broken": (10, 100),
    "worker killed": (20, 200),
    "worker frozen": (20, 200),
    "worker drained": (40, 300),
    "control plane killed": (15, 200),
    "control plane frozen": (30, 300),
    "clock set": (10, 100),
}
#: What may happen to each of these whenever there is one: the least and the greatest chance of it.
ODDS: Mapping[str, tuple[float, float]] = {
    "commit refused": (0.005, 0.1),
    "commit unanswered": (0.005, 0.1),
    "death before a commit": (0.002, 0.05),
    "death after a commit": (0.002, 0.05),
    "death amid the effects": (0.002, 0.05),
    "call unanswered": (0.02, 0.4),
    "frame doubled": (0.01, 0.2),
    "frame overtaken": (0.01, 0.2),
}
#: No gRPC stream does this: see `simulation.network`.
UNREAL = frozenset({"frame doubled", "frame overtaken"})
#: Worlds in which streams do it all the same.
_UNREAL_WORLDS = 0.15
#: How much slower than a local network it is at the most, as the mean delay of a frame in seconds.
_DELAYS = (0.001, 4.0)


class Faults:
    """How often each fault happens in one world; those that never do are not in it."""

    def __init__(self, chance: Random) -> None:
        #: Whether streams do what no stream does.
        self.unreal = chance.random() < _UNREAL_WORLDS
        on = chance.choice((0.15, 0.4, 0.7))
        #: Mean seconds between two.
        self.every = {what: _between(chance, span) for what, span in EVENTS.items() if chance.random() < on}
        self.odds = {
            what: _between(chance, span)
            for what, span in ODDS.items()
            if chance.random() < on and (self.unreal or what not in UNREAL)
        }
        #: Mean seconds that a frame is on its way.
        self.delay = _between(chance, _DELAYS) if chance.random() < on else _DELAYS[0]
        #: Mean seconds that a commit takes.
        self.commit = _between(chance, (0.001, 1.0)) if chance.random() < on else 0.001
        #: Seconds that they last.
        self.last = _between(chance, (60, 400))

    def stop(self) -> None:
        """Nothing goes wrong any more."""
        self.every.clear()
        self.odds.clear()
        self.delay = self.commit = _DELAYS[0]

    def __str__(self) -> str:
        every = [f"{what} every {seconds:.0f} s" for what, seconds in self.every.items()]
        odds = [f"{what} {odds:.1%}" for what, odds in self.odds.items()]
        means = [f"frames take {self.delay:.3f} s", f"commits take {self.commit:.3f} s", f"for {self.last:.0f} s"]
        return ", ".join(every + odds + means)


def _between(chance: Random, span: tuple[float, float]) -> float:
    """Any magnitude between the two is as likely as any other."""
    least, most = span
    return float(least * (most / least) ** chance.random())
