"""What is true between any two turns of a control plane, whatever its callers and workers do.

These look inside the core: they are its conscience, and no part of its interface.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from taskrun.domain.batch import Answer, ExpiredClaimed, StrandedClaimed, TaskClaimed, TasksClaimed
from taskrun.domain.control_plane.active_run import ActiveRun
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
            assert (status, body.status) in _MOVES, f"task {task.id} went from {status} to {body.status}"
            status = body.status
            if body.run is not None:
                assert body.run.id not in over, f"run {body.run.id} moved after its end"
                if body.run.status.is_terminal:
                    over.add(body.run.id)
            continue
        assert status is TaskStatus.RUNNING, f"run {body.run_id} spoke while its task was {status}"
        assert body.run_id not in over, f"run {body.run_id} spoke after its end"
        if isinstance(body, OutputSegment):
            assert body.first_seq >= next_output[body.run_id], f"output of run {body.run_id} came twice"
            next_output[body.run_id] = body.first_seq + len(body.contents)
    told, kept = (status, expected), (task.status, task.next_seq)
    assert told == kept, f"the story of {task.id} comes to {told}, and the task to {kept}"


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
        words, spoken = heard[run.id], said.get(run.id, [])
        assert words == spoken[: len(words)], f"the story of run {run.id} has {words}, and its agent said {spoken}"
        assert run.status is not RunStatus.COMPLETED or len(words) == len(said[run.id]), f"run {run.id} was cut short"


def _check_runs(core: ControlPlaneCore, store: NaiveStore) -> None:
    """The runs that workers have are those of the RUNNING tasks, one each."""
    active, followed = core._runs._by_run, core._runs._by_task.keys()
    running = {task.id for task in store.having(TaskStatus.RUNNING)}
    assert running <= followed, f"the tasks {running - followed} are RUNNING, and nobody follows their runs"
    assert running >= followed, f"the tasks {followed - running} are not RUNNING, and their runs are followed"
    assert {run.task.id for run in active.values()} == followed, "runs and tasks are not followed in pairs"
    for run_id, run in active.items():
        _check_run(core, store, run_id, run)
    had = sum(len(worker.runs) for worker in core._fleet.all())
    assert had == len(active), f"workers have {had} runs, and {len(active)} are followed"


def _check_run(core: ControlPlaneCore, store: NaiveStore, run_id: str, active: ActiveRun) -> None:
    """What is known of a run is what is stored of it and what its worker is known to have."""
    run, worker = active.run, active.worker
    assert core._runs.of_task(active.task.id) is active, f"run {run_id} is not the one that its task has"
    assert store.tasks[active.task.id] == active.task, f"the task of run {run_id} is stored as another"
    assert active.task.runs[-1] == run, f"run {run_id} is not the last of its task"
    assert (run.id, run.worker_id) == (run_id, worker.id), f"run {run_id} is followed as another's"
    assert not run.status.is_terminal, f"run {run_id} is over, and is followed"
    assert run_id in worker.runs, f"run {run_id} is not among those of its worker"
    assert run.process == worker.process, f"run {run_id} is that of another process of its worker"
    # What is told to be stored is: a core that begins anew goes on with the same number.
    told = run.status is not RunStatus.ASSIGNED and worker.resumes
    assert not told or active.next_seq == run.next_seq, f"run {run_id} is told to be stored further than it is"


def _check_slots(core: ControlPlaneCore, claims: Iterable[Claim[int]]) -> None:
    """The slots that the scheduler counts are the runs that the workers have, and those set aside for claims."""
    scheduler = core._scheduler
    seats, by_session = {seat.key: seat for seat in scheduler._seats}, core._fleet._by_session
    assert seats.keys() == by_session.keys(), "others have a seat than have a stream"
    aside = Counter[int]()
    for claim in claims:
        aside[claim.key] += claim.limit
    for session, seat in seats.items():
        worker = by_session[session]
        assert seat.taken == worker.active_runs, f"{seat.taken} slots of {worker.id} are taken by {worker.active_runs}"
        assert seat.reserved == aside[session], f"{seat.reserved} slots of {worker.id} wait for {aside[session]} tasks"
        assert seat.slots == worker.max_concurrent_runs, f"{worker.id} is given another number of slots than it has"
    assert scheduler.taken == sum(seat.taken for seat in seats.values()), "the taken slots are miscounted"
    assert scheduler.vacant == sum(seat.vacant for seat in seats.values()), "the vacant slots are miscounted"


def _check_queue(scheduler: Scheduler[int], store: NaiveStore, answers: Sequence[Answer], resting: set[str]) -> None:
    """As many wait for each requirement as the scheduler counts, and what a claim took out is in an answer or rests."""
    claims = (answer for answer in answers if isinstance(answer, TasksClaimed | ExpiredClaimed | StrandedClaimed))
    under_way = {task.id for answer in claims for task in answer.tasks}
    under_way |= {answer.ask.task_id for answer in answers if isinstance(answer, TaskClaimed) and answer.owned}
    assert store.claimed == under_way | resting, "a task is in nobody's hands"
    pending = (task for task in store.having(TaskStatus.PENDING) if task.id not in resting)
    waiting = Counter[Requirement](task.requirement for task in pending)
    counted = {line.requirement: line.waiting for line in scheduler._lines if line.waiting}
    assert counted == waiting, f"{waiting} wait, and the scheduler counts {counted}"
    promised = Counter[Requirement]()
    for answer in answers:
        if isinstance(answer, TasksClaimed) and isinstance(answer.ask.ref, Claim):
            promised.update(dict(zip(answer.ask.ref.requirements, answer.ask.ref.promises, strict=True)))
    due = {line.requirement: line.promised for line in scheduler._lines if line.promised}
    assert due == +promised, f"{promised} are promised, and the scheduler counts {due}"
