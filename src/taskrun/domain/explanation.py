"""Why a task waits, or what has become of it: for people, from what is stored and how the workers stand.

The sentence is the first of a table that applies, and the table goes from what the task is to what it waits for. It
tells what others have decided: nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from heapq import nsmallest

from taskrun.domain.fitness import WorkerFit, fit_of, offers
from taskrun.domain.records import WORKER_LABEL, Requirement, Task, WorkerView
from taskrun.domain.retry import attempts
from taskrun.domain.shortage import shortage
from taskrun.domain.status import TaskStatus
from taskrun.domain.values import value

#: Workers of which is told what they lack, of however many.
MOST_WORKERS = 100
#: Tasks that are counted before a task in the queue. Whoever has so many before it need not know how many more.
MOST_AHEAD = 10_000


@value(frozen=True, slots=True)
class Ahead:
    """How many tasks that need the same go before a task in the queue."""

    tasks: int
    #: There may be more: nobody counted on.
    or_more: bool = False


@value(frozen=True, slots=True)
class Explanation:
    """Why a task waits, if it does."""

    task_id: str
    status: TaskStatus
    #: One sentence, without its subject and full stop: "no worker is connected".
    summary: str
    #: Since when it waits (Unix ms); 0 if it does not.
    waits_since_ms: int = 0
    #: Its place in the queue; None if it is not in it.
    ahead: Ahead | None = None
    #: Until when it rests before its next attempt (Unix ms); 0 if it does not, or not here.
    rests_until_ms: int = 0
    #: Of a task that waits: the nearest to taking it first, at most `MOST_WORKERS`.
    workers: tuple[WorkerFit, ...] = ()
    #: How many there are in all.
    workers_looked_at: int = 0


def ahead_of(counted: int | None, most: int = MOST_AHEAD) -> Ahead | None:
    """A place in the queue, from a count that went up to `most`."""
    return None if counted is None else Ahead(counted, counted >= most)


def explain(
    task: Task, workers: Sequence[WorkerView], ahead: Ahead | None, rests_until_ms: int = 0, held: str = ""
) -> Explanation:
    """Why the task waits, while these workers are connected or may come back.

    `ahead` is its place in the queue, None if it is not in it; `rests_until_ms` until when it rests (Unix ms), 0 if it
    does not or nobody here knows; `held` which limit holds it, "" if none does.
    """
    if task.status is not TaskStatus.PENDING:
        return Explanation(task.id, task.status, _summary(_Case(task, workers)))
    requirement = task.spec.requirement
    fits = [fit_of(requirement, worker) for worker in workers]
    return Explanation(
        task.id,
        task.status,
        _summary(_Case(task, workers, fits, ahead, rests_until_ms, held)),
        task.waits_since_ms,
        ahead,
        rests_until_ms,
        tuple(nsmallest(MOST_WORKERS, fits, key=lambda fit: fit.distance)),
        len(fits),
    )


@value(frozen=True, slots=True)
class _Case:
    """What is known of a task."""

    task: Task
    workers: Sequence[WorkerView]
    #: One for each of the workers, if the task waits.
    fits: Sequence[WorkerFit] = ()
    ahead: Ahead | None = None
    rests_until_ms: int = 0
    held: str = ""

    @property
    def requirement(self) -> Requirement:
        return self.task.spec.requirement


def _summary(case: _Case) -> str:
    return next(told for finding in _FINDINGS if (told := finding(case)) is not None)


def _ended(case: _Case) -> str | None:
    if not case.task.status.is_terminal:
        return None
    # What a run failed of is told by the run.
    runs = case.task.runs if case.task.status is TaskStatus.FAILED else ()
    why = case.task.error or (runs[-1].error if runs else "")
    return f"it has ended: {why}" if why else "it has ended"


def _running(case: _Case) -> str | None:
    if case.task.status is not TaskStatus.RUNNING:
        return None
    run = case.task.runs[-1]
    away = any(worker.id == run.worker_id and not worker.status.is_connected for worker in case.workers)
    place = f"run {run.attempt} is on {run.worker_id}" + (", which is DISCONNECTED" if away else "")
    return f"{place}, and was told to stop" if case.task.cancel_requested else place


def _resting(case: _Case) -> str | None:
    if not case.rests_until_ms:
        return None
    until = datetime.fromtimestamp(case.rests_until_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds")
    return f"it rests before attempt {_next_attempt(case.task)}, until {until}"


def _claimed(case: _Case) -> str | None:
    """Out of the queue, and with no worker: for a moment, or at another control plane."""
    if case.ahead is not None:
        return None
    if not case.task.runs:
        return "a control plane gives it out at this moment"
    return f"a control plane gives it out at this moment, or lets it rest before attempt {_next_attempt(case.task)}"


def _nobody(case: _Case) -> str | None:
    return None if any(worker.status.is_connected for worker in case.workers) else "no worker is connected"


def _wanted_is_away(case: _Case) -> str | None:
    wanted = dict(case.requirement.selector).get(WORKER_LABEL)
    if wanted is None or any(worker.id == wanted and worker.status.is_connected for worker in case.workers):
        return None
    if case.task.spec.continues:
        return f"the worker {wanted}, which has its session, is not connected: it fails if that one stays away"
    return f"the worker {wanted}, the only one that it may go to, is not connected"


def _short(case: _Case) -> str | None:
    """Whom a limit holds is not given out even if somebody could take it."""
    if not case.held and not all(fit.lacks for fit in case.fits):
        return None
    pairs = zip(case.workers, case.fits, strict=True)
    connected = [(worker, fit) for worker, fit in pairs if worker.status.is_connected]
    offering = sum(offers(worker, case.requirement.agent) for worker, _ in connected)
    return shortage(case.requirement, offering, sum(fit.fits for _, fit in connected), case.held)


def _next(case: _Case) -> str | None:
    return "it is about to be given out"


def _next_attempt(task: Task) -> int:
    return attempts(task.runs) + 1


#: What may be said, the first that applies. Whatever else can hold a task back gets its line here, before the workers,
#: if with it it would make no difference whether one of them could take it.
_FINDINGS: tuple[Callable[[_Case], str | None], ...] = (
    _ended,
    _running,
    _resting,
    _claimed,
    _wanted_is_away,
    _nobody,
    _short,
    _next,
)
