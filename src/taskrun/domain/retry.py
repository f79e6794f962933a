"""Whether and when a run that did not complete is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from taskrun.domain.records import Run, TaskSpec
from taskrun.domain.status import FailureKind
from taskrun.domain.timers import ControlPlaneTimers

#: The run never had its chance, and no task needs to ask to be given another: its worker went away, did not take it, or
#: gave it up unasked.
NOT_THE_AGENTS_FAULT = frozenset({FailureKind.WORKER_LOST, FailureKind.REJECTED, FailureKind.CANCELLED})
#: Nobody is given such a task again: it is done with.
_FINAL = frozenset({FailureKind.POISON, FailureKind.QUEUE_TIMEOUT})
#: What a task may ask to be given another attempt for.
RETRIABLE = tuple(kind for kind in FailureKind if kind not in NOT_THE_AGENTS_FAULT | _FINAL)


#: A run may be turned away so often before its task fails: workers that turn everything away must not keep it for ever.
MAX_REJECTIONS = 20

#: Workers that a task may be suspected to have taken with it before it is given to no other.
_DEADLY = 2


def attempts(runs: Sequence[Run]) -> int:
    """The runs that count: a run that its worker did not take never started."""
    return sum(run.failure is not FailureKind.REJECTED for run in runs)


def may_retry(spec: TaskSpec, runs: Sequence[Run]) -> bool:
    """Whether a task gets another attempt after these runs, the last of which did not complete."""
    failure = runs[-1].failure
    if failure is FailureKind.REJECTED:
        return len(runs) - attempts(runs) < MAX_REJECTIONS
    return (failure in NOT_THE_AGENTS_FAULT or failure in spec.retry_on) and attempts(runs) < spec.max_attempts


def is_poison(runs: Sequence[Run], timers: ControlPlaneTimers) -> bool:
    """Whether the task behind these runs seems to be what its workers died of."""
    return sum(0 < run.lost_after_ms <= timers.poison * 1000 for run in runs) >= _DEADLY


def retry_delay(runs: Sequence[Run], timers: ControlPlaneTimers) -> float:
    """Seconds from the end of the last of these runs until the next attempt."""
    waits = attempts(runs) - 2
    if runs[-1].failure is FailureKind.REJECTED or waits < 0:
        return 0.0
    # The id of a run is as good as a throw of dice, and the same whenever it is looked at.
    part = crc32(runs[-1].id.encode()) / 2**32
    longest = min(timers.retry_max, timers.retry * 2.0 ** min(waits, 30))
    return longest * (1 - part / 2)
