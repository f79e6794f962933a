"""Who thinks up the cases: libFuzzer, which sees what each case reaches, or chance alone.

libFuzzer comes with atheris (https://github.com/google/atheris), which is not to be had everywhere.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Protocol

from fuzz.mutation import changed
from fuzz.target import Target
from fuzz.watch import Watch

try:
    import atheris
except ImportError:
    atheris = None

#: Whether it is to be had here.
IS_GUIDED = atheris is not None


class Driver(Protocol):
    """Thinks up cases. The seeds were taken already."""

    def importing(self) -> AbstractContextManager[object]:
        """What is to be watched closely is imported in this context."""
        ...

    def drive(self, target: Target, watch: Watch) -> None:
        """Has the target take cases. Returns, or ends the process, after its time."""
        ...


class Chance:
    """Real messages with random changes: the same seed, the same cases."""

    def __init__(self, seed: int, *, cases: int = 0, seconds: float = 0.0) -> None:
        """As many cases, or, if that is 0, for as many seconds."""
        self._seed, self._cases, self._seconds = seed, cases, seconds

    def importing(self) -> AbstractContextManager[object]:
        """See `Driver.importing`."""
        return nullcontext()

    def drive(self, target: Target, watch: Watch) -> None:
        """See `Driver.drive`."""
        chance, seeds = Random(self._seed), list(target.seeds.values())
        for _ in self._turns():
            watch.one(changed(chance.choice(seeds), seeds, chance, target.max_bytes))

    def _turns(self) -> Iterator[object]:
        if self._cases:
            yield from range(self._cases)
            return
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            yield None


class LibFuzzer:
    """Cases that reach what none has reached before are kept, and changed further."""

    def __init__(self, seed: int, seconds: float, keep: Path | None) -> None:
        """`keep` is where the cases that reach something stay, a folder for each target, for the next time."""
        self._seed, self._seconds, self._keep = seed, seconds, keep

    def importing(self) -> AbstractContextManager[object]:
        """See `Driver.importing`."""
        context: AbstractContextManager[object] = atheris.instrument_imports(
            include=["taskrun"], enable_loader_override=False
        )
        return context

    def drive(self, target: Target, watch: Watch) -> None:
        """See `Driver.drive`."""
        corpus = Path(tempfile.mkdtemp(prefix="fuzz-") if self._keep is None else self._keep)
        corpus.mkdir(parents=True, exist_ok=True)
        for name, seed in target.seeds.items():
            (corpus / name).write_bytes(seed)
        seeds = list(target.seeds.values())

        def change(case: bytes, max_bytes: int, seed: int) -> bytes:
            chance = Random(seed)
            if chance.random() < 0.5:
                return changed(case, seeds, chance, max_bytes)
            mutated: bytes = atheris.Mutate(case, max_bytes)
            return mutated

        flags = {
            "max_total_time": max(1, round(self._seconds)),
            "max_len": target.max_bytes,
            "seed": self._seed,
            # The watch sees to these.
            "timeout": 0,
            "rss_limit_mb": 0,
            "malloc_limit_mb": 0,
            "verbosity": 0,
        }
        arguments = ["fuzz", *(f"-{name}={value}" for name, value in flags.items()), str(corpus)]
        atheris.Setup(arguments, watch.one, custom_mutator=change)
        atheris.Fuzz()
