"""Whether a run that did not complete is tried again."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.records import Run, TaskSpec
from taskrun.domain.status import FailureKind

#: The run never had its chance, and no task needs to ask to be given another: its worker went away, did not take it, or
#: gave it up unasked.
NOT_THE_AGENTS_FAULT = frozenset({FailureKind.WORKER_LOST, FailureKind.REJECTED, FailureKind.CANCELLED})


#: A run may be turned away so often before its task fails: workers that turn everything away must not keep it for ever.
MAX_REJECTIONS = 20


def attempts(runs: Sequence[Run]) -> int:
    """The runs that count: a run that its worker did not take never started."""
    return sum(run.failure is not FailureKind.REJECTED for run in runs)


def may_retry(spec: TaskSpec, runs: Sequence[Run]) -> bool:
    """Whether a task gets another attempt after these runs, the last of which did not complete."""
    failure = runs[-1].failure
    if failure is FailureKind.REJECTED:
        return len(runs) - attempts(runs) < MAX_REJECTIONS
    return (failure in NOT_THE_AGENTS_FAULT or failure in spec.retry_on) and attempts(runs) < spec.max_attempts
