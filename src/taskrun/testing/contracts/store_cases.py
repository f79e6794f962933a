"""The tasks and steps of which the store's contract is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from taskrun.domain.records import OutputSegment, Requirement, Run, Share, StoryEntry, Task, TaskChange, TaskSpec
from taskrun.domain.status import RunStatus, TaskStatus
from taskrun.ports.store import (
    Batch,
    ClaimExpired,
    ClaimNext,
    ClaimTask,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    Store,
    TaskClaimed,
    TasksClaimed,
)

PENDING, RUNNING, COMPLETED = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.COMPLETED
GENERAL = Requirement("general")
TRIAGE = Requirement("triage")
ON_GPU = Requirement("general", (("gpu", "yes"),))

_RUN = Run("run-1", "worker-1", RunStatus.RUNNING, 1)


def task_id(n: int) -> str:
    """The n-th id; a greater n sorts later."""
    return f"01900000-0000-7000-8000-{n:012x}"


def make_task(
    n: int,
    status: TaskStatus = PENDING,
    *,
    needs: Requirement = GENERAL,
    by: str = "ann",
    at_ms: int = 0,
    until_ms: int = 0,
    share: Share = (),
    ageing: int = 0,
    **spec: Any,
) -> Task:
    """The n-th task, created by `by` at `at_ms`, waiting until `until_ms`; `spec` are further fields of its spec."""
    return Task(
        task_id(n),
        TaskSpec(needs.agent, "{}", selector=needs.selector, **spec),
        status,
        by,
        at_ms or 1000 + n,
        runs=() if status is PENDING else (_RUN,),
        next_seq=1,
        expires_at_ms=until_ms,
        share=share,
        ageing=ageing,
    )


def moved(task: Task, status: TaskStatus) -> Task:
    """The task in another status."""
    return replace(task, status=status)


def requeued(task: Task, at_ms: int) -> Task:
    """The running task, whose run failed at `at_ms` and which waits again."""
    return replace(task, status=PENDING, runs=(replace(_RUN, status=RunStatus.FAILED, finished_at_ms=at_ms),))


def change(seq: int, status: TaskStatus = PENDING) -> StoryEntry:
    """An entry that takes one seq."""
    return StoryEntry(seq, 5000 + seq, TaskChange(status))


def output(seq: int, *contents: str, first_seq: int = 0) -> StoryEntry:
    """An entry that takes a seq for each content."""
    return StoryEntry(seq, 5000 + seq, OutputSegment("run-1", first_seq, contents, {"stream": "stdout"}))


async def save(store: Store, *tasks: Task) -> None:
    """One commit of these tasks."""
    await store.commit(Batch({task.id: task for task in tasks}))


async def tell(store: Store, task: Task, *entries: StoryEntry) -> None:
    """One commit that adds to the task's story."""
    await store.commit(Batch({task.id: task}, {task.id: list(entries)}))


async def claim(store: Store, *requirements: Requirement, limit: int = 100) -> list[str]:
    """The ids that one `ClaimNext` gives."""
    [answer] = await store.commit(Batch(asks=[ClaimNext("ref", requirements or (GENERAL,), limit)]))
    assert isinstance(answer, TasksClaimed)
    return [task.id for task in answer.tasks]


async def claim_task(store: Store, wanted: str) -> TaskClaimed:
    """The answer to one `ClaimTask`."""
    [answer] = await store.commit(Batch(asks=[ClaimTask(wanted)]))
    assert isinstance(answer, TaskClaimed)
    return answer


async def claim_expired(store: Store, until_ms: int, limit: int = 100) -> tuple[list[str], int]:
    """The ids that one `ClaimExpired` gives, and when to ask for the next."""
    ask = ClaimExpired(until_ms, limit)
    [answer] = await store.commit(Batch(asks=[ask]))
    assert isinstance(answer, ExpiredClaimed)
    assert answer.ask == ask
    return [task.id for task in answer.tasks], answer.next_ms


async def find_key(store: Store, caller: str, key: str, since_ms: int = 0) -> Task | None:
    """The task that one `FindKey` gives."""
    [answer] = await store.commit(Batch(asks=[FindKey(caller, key, since_ms)]))
    assert isinstance(answer, KeyFound)
    return answer.task


def ids(*ns: int) -> list[str]:
    """The ids of these tasks."""
    return [task_id(n) for n in ns]
