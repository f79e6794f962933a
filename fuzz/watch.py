"""The limits of a case, held in the process that has the case.

A case that takes too long is ended by a signal whose handler is not Python's, so it ends inside C code, too: its stack
is printed, and the signal kills. Time is that of the CPU, so that a busy machine makes nobody slow; whoever waits for
something that never comes uses none, and is ended by the clock on the wall.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.slate import Slate

#: Exit codes of a process that found something; a signal tells of a hang.
CRASHED, GREW = 70, 71


@dataclass(frozen=True, slots=True)
class Limits:
    """What a case may take."""

    #: Seconds of the CPU.
    busy: float = 1.0
    #: Seconds of the wall's clock.
    idle: float = 20.0
    #: KiB that all cases together may add to the most that the process ever had.
    growth_kib: int = 64 * 1024


class Watch:
    """Gives cases to a target, each within the limits, and ends the process at the first fault."""

    def __init__(self, take: Callable[[bytes], None], slate: Slate, limits: Limits) -> None:
        self._take, self._slate, self._limits = take, slate, limits
        self._cases = 0
        #: The most that the process ever had, in KiB, when it had settled; None as long as it has not.
        self._before: int | None = None
        self._settled = False

    def begin(self) -> None:
        """From now on the process is ended when it is at fault."""
        faulthandler.enable(sys.stderr)
        for number in (signal.SIGPROF, signal.SIGALRM):
            faulthandler.register(number, sys.stderr, all_threads=True, chain=True)

    def settle(self) -> None:
        """What the process has when the next case comes is not growth: its modules, its caches, the driver's tables."""
        gc.collect()
        self._settled = True

    def one(self, case: bytes) -> None:
        """Has the target take one case."""
        if self._settled and self._before is None:
            self._before = _peak_kib()
        self._cases += 1
        self._slate.write(self._cases, self._growth(), case)
        signal.setitimer(signal.ITIMER_PROF, self._limits.busy)
        signal.setitimer(signal.ITIMER_REAL, self._limits.idle)
        try:
            self._take(case)
        except BaseException:
            traceback.print_exc()
            _end(CRASHED)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._growth() > self._limits.growth_kib:
            _end(GREW)

    def _growth(self) -> int:
        return 0 if self._before is None else _peak_kib() - self._before


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _end(code: int) -> None:
    sys.stderr.flush()
    os._exit(code)
