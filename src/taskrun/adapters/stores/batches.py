"""What a store has to look at before it applies a batch, and what the batch changes about the counts it keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from taskrun.domain.batch import Batch
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import StoryEntry, Task
from taskrun.domain.status import TaskStatus

#: Of each id in a batch: the status of its task, and the number that its story goes on with; None if there is none.
Before = Mapping[str, tuple[TaskStatus | None, int | None]]


def without(batch: Batch, task_ids: Collection[str]) -> Batch:
    """The batch, but for what it says of these tasks."""
    if not task_ids:
        return batch
    return Batch(
        {task_id: task for task_id, task in batch.tasks.items() if task_id not in task_ids},
        {task_id: entries for task_id, entries in batch.story.items() if task_id not in task_ids},
        batch.asks,
        {task_id: figures for task_id, figures in batch.waiting.items() if task_id not in task_ids},
        {task_id: figures for task_id, figures in batch.rates.items() if task_id not in task_ids},
        {task_id: figures for task_id, figures in batch.running.items() if task_id not in task_ids},
        {task_id: accounts for task_id, accounts in batch.counted.items() if task_id not in task_ids},
    )


def check_batch(batch: Batch, before: Before) -> None:
    """Raises `StoreFailed` for a story with a gap, of no task or begun again, and for a task under another's id."""
    for task_id, task in batch.tasks.items():
        if task.id != task_id:
            raise StoreFailed(f"Task {task.id} is saved under the id of another, {task_id}.")
    for task_id, entries in batch.story.items():
        status, expected = before[task_id]
        if status is None and task_id not in batch.tasks:
            raise StoreFailed(f"There is a story, but no task {task_id}.")
        if status is not None and entries and entries[0].seq == 0:
            raise StoreFailed(f"The story of task {task_id} began with the task.")
        _check_story(task_id, expected, entries)


def count_changes(tasks: Iterable[Task], before: Before) -> Counter[TaskStatus]:
    """By status, how many tasks more have it when these are saved."""
    changes = Counter[TaskStatus]()
    for task in tasks:
        old = before[task.id][0]
        changes[task.status] += 1
        if old is not None:
            changes[old] -= 1
    return changes


def newest_keys(tasks: Iterable[Task]) -> dict[tuple[str, str], Task]:
    """Of new tasks, the last that was made with each caller's key."""
    return {(task.created_by, task.spec.idempotency_key): task for task in tasks if task.spec.idempotency_key}


def _check_story(task_id: str, expected: int | None, entries: Iterable[StoryEntry]) -> None:
    for entry in entries:
        if expected is not None and entry.seq != expected:
            raise StoreFailed(f"The story of task {task_id} goes on with {expected}, not {entry.seq}.")
        expected = entry.next_seq
