"""What is true between any two turns of a control plane, whatever its callers and workers do.

These look inside the core: they are its conscience, and no part of its interface.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from taskrun.domain.batch import Answer, ExpiredClaimed, StrandedClaimed, TaskClaimed, TasksClaimed
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.machines.task import TASK
from taskrun.domain.records import OutputSegment, Requirement, RunEvent, StoryEntry, Task, TaskChange
from taskrun.domain.scheduler import Claim, Scheduler
from taskrun.domain.status import RunStatus, TaskStatus
from taskrun.testing.naive_store import NaiveStore

#: What a story may say next of its task's status; the same again means that the run or the wish to cancel changed.
_MOVES = {(before, after) for (before, _), after in TASK.table.items()} | {
    (None, TaskStatus.PENDING),
    (TaskStatus.RUNNING, TaskStatus.RUNNING),
}


def check_core(core: ControlPlaneCore, store: NaiveStore, answers: Sequence[Answer]) -> None:
    """The core, what is stored, and the answers that the core has not seen yet, agree. Raises AssertionError."""
    claims = [answer.ask.ref for answer in answers if isinstance(answer, TasksClaimed)]
    _check_runs(core, store)
    _check_slots(core, [claim for claim in claims if isinstance(claim, Claim)])
    _check_queue(core._scheduler, store, answers, resting=set(core._rest._tasks))
    if not answers:
        check_nobody_waits_in_vain(core, store)


def check_nobody_waits_in_vain(core: ControlPlaneCore, store: NaiveStore) -> None:
    """No task waits that fits a free slot. True when the store has nothing more to answer."""
    for task in store.waiting():
        requirement = task.requirement
        if core._scheduler.holding(requirement) is not None:
            continue
        free = [seat for seat in core._scheduler._seats if seat.fits(requirement) and seat.free > 0]
        assert not free, f"task {task.id} waits although {free} could take it"


def check_story(task: Task, story: Sequence[StoryEntry]) -> None:
    """The story of the task is whole: without gaps, each move legal, one end at most, nothing of a run that is over."""
    expected = 0
    status: TaskStatus | None = None
    over: set[str] = set()
    next_output: Counter[str] = Counter()
    for entry in story:
        assert entry.seq == expected, f"the story of {task.id} has {entry.seq} where {expected} comes next"
        expected = entry.next_seq
        assert status is None or not status.is_terminal, f"the story of {task.id} goes on after its end"
        body = entry.body
        if isinstance(body, TaskChange):
            assert (status, body.status) in _MOVES
            status = body.status
            if body.run is not None:
                assert body.run.id not in over, f"run {body.run.id} moved after its end"
                if body.run.status.is_terminal:
                    over.add(body.run.id)
            continue
        assert status is TaskStatus.RUNNING
        assert body.run_id not in over, f"run {body.run_id} spoke after its end"
        if isinstance(body, OutputSegment):
            assert body.first_seq >= next_output[body.run_id], f"output of run {body.run_id} came twice"
            next_output[body.run_id] = body.first_seq + len(body.contents)
    assert (status, expected) == (task.status, task.next_seq)


def check_said(task: Task, story: Sequence[StoryEntry], said: Mapping[str, Sequence[str]]) -> None:
    """What each run said, its output and the ids of its events, is in the story once and in order: all that was heard
    of a run that was lost, and all there was of one that completed."""
    heard: dict[str, list[str]] = defaultdict(list)
    for entry in story:
        if isinstance(entry.body, OutputSegment):
            heard[entry.body.run_id] += entry.body.contents
        elif isinstance(entry.body, RunEvent):
            heard[entry.body.run_id].append(entry.body.id)
    for run in task.runs:
        words = heard[run.id]
        assert words == said.get(run.id, [])[: len(words)], f"run {run.id} said {said.get(run.id)}, and not {words}"
        assert run.status is not RunStatus.COMPLETED or len(words) == len(said[run.id]), f"run {run.id} was cut short"


def _check_runs(core: ControlPlaneCore, store: NaiveStore) -> None:
    """The runs that workers have are those of the RUNNING tasks, one each."""
    active = core._runs._by_run
    assert {task.id for task in store.having(TaskStatus.RUNNING)} == set(core._runs._by_task)
    assert {run.task.id for run in active.values()} == set(core._runs._by_task)
    for run_id, run in active.items():
        assert core._runs.of_task(run.task.id) is run
        assert store.tasks[run.task.id] == run.task
        assert run.task.runs[-1] == run.run
        assert (run.run.id, run.run.worker_id) == (run_id, run.worker.id)
        assert not run.run.status.is_terminal
        assert run_id in run.worker.runs
        assert run.run.process == run.worker.process
        # What is told to be stored is: a core that begins anew goes on with the same number.
        assert run.run.status is RunStatus.ASSIGNED or not run.worker.resumes or run.next_seq == run.run.next_seq
    assert sum(len(worker.runs) for worker in core._fleet.all()) == len(active)


def _check_slots(core: ControlPlaneCore, claims: Iterable[Claim[int]]) -> None:
    """The slots that the scheduler counts are the runs that the workers have, and those set aside for claims."""
    scheduler = core._scheduler
    seats, by_session = {seat.key: seat for seat in scheduler._seats}, core._fleet._by_session
    assert seats.keys() == by_session.keys()
    aside = Counter[int]()
    for claim in claims:
        aside[claim.key] += claim.limit
    for session, seat in seats.items():
        worker = by_session[session]
        assert seat.taken == worker.active_runs
        assert seat.reserved == aside[session]
        assert seat.slots == worker.max_concurrent_runs
    assert scheduler.taken == sum(seat.taken for seat in seats.values())
    assert scheduler.vacant == sum(seat.vacant for seat in seats.values())


def _check_queue(scheduler: Scheduler[int], store: NaiveStore, answers: Sequence[Answer], resting: set[str]) -> None:
    """As many wait for each requirement as the scheduler counts, and what a claim took out is in an answer or rests."""
    claims = (answer for answer in answers if isinstance(answer, TasksClaimed | ExpiredClaimed | StrandedClaimed))
    under_way = {task.id for answer in claims for task in answer.tasks}
    under_way |= {answer.ask.task_id for answer in answers if isinstance(answer, TaskClaimed) and answer.owned}
    assert store.claimed == under_way | resting, "a task is in nobody's hands"
    pending = (task for task in store.having(TaskStatus.PENDING) if task.id not in resting)
    waiting = Counter[Requirement](task.requirement for task in pending)
    counted = {line.requirement: line.waiting for line in scheduler._lines if line.waiting}
    assert counted == waiting
    promised = Counter[Requirement]()
    for answer in answers:
        if isinstance(answer, TasksClaimed) and isinstance(answer.ask.ref, Claim):
            promised.update(dict(zip(answer.ask.ref.requirements, answer.ask.ref.promises, strict=True)))
    assert {line.requirement: line.promised for line in scheduler._lines if line.promised} == +promised
