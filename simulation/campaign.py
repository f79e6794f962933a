"""Many worlds, one seed each, on all the cores that there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from os import sched_getaffinity
from time import process_time

from simulation.world import World

#: Worlds after which a process tells what came of them.
_BATCH = 50


@dataclass(frozen=True)
class Failure:
    """A seed in whose world something was not as promised."""

    seed: int
    what: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.what}\n    its story: make simulate SEED={self.seed}"


@dataclass
class Outcome:
    """What came of some worlds."""

    seeds: int = 0
    events: int = 0
    cpu_seconds: float = 0.0
    #: How often each fault happened.
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Takes in what came of others."""
        self.seeds += other.seeds
        self.events += other.events
        self.cpu_seconds += other.cpu_seconds
        self.counts += other.counts
        self.failures += other.failures


def campaign(seeds: Sequence[int]) -> Iterator[Outcome]:
    """Plays all seeds, in processes of their own; what has come of them so far, again and again."""
    total = Outcome()
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    with ProcessPoolExecutor(len(sched_getaffinity(0)), get_context("spawn")) as pool:
        for outcome in pool.map(play, batches):
            total.add(outcome)
            yield total


def play(seeds: Sequence[int]) -> Outcome:
    """Plays the seeds here, one after the other. A world that breaks ends no other."""
    outcome = Outcome()
    began = process_time()
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
        except Exception as error:
            outcome.failures.append(Failure(seed, f"{type(error).__name__}: {error}"))
        outcome.seeds += 1
        outcome.events += world.agenda.events
        outcome.counts += world.counts
    outcome.cpu_seconds = process_time() - began
    return outcome
