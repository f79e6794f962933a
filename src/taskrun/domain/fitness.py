"""What one worker lacks for a task: each check is a line of a table, and says all that it finds.

This tells people what the scheduler decides; it decides nothing. Workers are judged as they are listed, so that those
of every control plane on the store can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from taskrun.domain.records import WORKER_LABEL, Requirement, WorkerView, labels_of
from taskrun.domain.values import value

#: What a worker lacks, in words that go on after its name: "does not offer ...", "is DRAINING".
_Check = Callable[[Requirement, WorkerView], Iterator[str]]


@value(frozen=True, slots=True)
class WorkerFit:
    """How near a worker is to taking a task."""

    worker_id: str
    #: In words that go on after its id. With none it could take the task at once.
    lacks: tuple[str, ...] = ()
    #: It offers the agent and has the labels, as far as is known: it may take the task later, as it is.
    fits: bool = True

    @property
    def distance(self) -> tuple[bool, int, str]:
        """The less the nearer; of equals the first by id."""
        return not self.fits, len(self.lacks), self.worker_id


def fit_of(requirement: Requirement, worker: WorkerView) -> WorkerFit:
    """All that the worker lacks for such a task at this moment."""
    misfits = _found(_FITNESS, requirement, worker)
    hindrances = _found(_READINESS, requirement, worker)
    return WorkerFit(worker.id, (*misfits, *hindrances), fits=not misfits)


def offers(worker: WorkerView, agent: str) -> bool:
    """Whether it has an agent of that name."""
    return any(spec.name == agent for spec in worker.info.agents)


def _found(checks: Iterable[_Check], requirement: Requirement, worker: WorkerView) -> tuple[str, ...]:
    return tuple(chain.from_iterable(check(requirement, worker) for check in checks))


def _is_known(worker: WorkerView) -> bool:
    """A worker that is awaited since its control plane began has not said what it offers."""
    return worker.status.is_connected or bool(worker.info.agents)


def _agent(requirement: Requirement, worker: WorkerView) -> Iterator[str]:
    if _is_known(worker) and not offers(worker, requirement.agent):
        yield f"does not offer the agent {requirement.agent}"


def _labels(requirement: Requirement, worker: WorkerView) -> Iterator[str]:
    labels = labels_of(worker.info, worker.id)
    for key, wanted in requirement.selector:
        has = labels.get(key)
        if has == wanted:
            continue
        if key == WORKER_LABEL:
            yield f"is not the worker {wanted}"
        elif _is_known(worker):
            yield f"lacks the label {key}={wanted}" + (f" (it has {key}={has})" if has is not None else "")


def _status(requirement: Requirement, worker: WorkerView) -> Iterator[str]:
    if not worker.status.takes_runs:
        yield f"is {worker.status.value}"


def _withheld(requirement: Requirement, worker: WorkerView) -> Iterator[str]:
    if worker.withheld:
        yield worker.withheld


def _slots(requirement: Requirement, worker: WorkerView) -> Iterator[str]:
    if worker.active_runs >= worker.max_concurrent_runs and _is_known(worker):
        yield f"has no free slot: {worker.active_runs} of {worker.max_concurrent_runs} runs"


#: What a worker is and has: whoever lacks some of it never takes such a task, unless it starts anew with it.
_FITNESS: tuple[_Check, ...] = (_agent, _labels)
#: What passes by itself.
_READINESS: tuple[_Check, ...] = (_status, _withheld, _slots)
