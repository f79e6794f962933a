"""What the control plane demands of the place where tasks live.

The store is the queue: a task saved as PENDING waits in it under its requirement until it is claimed. The core decides,
the store applies: there is no rule about states in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.status import TaskStatus


@dataclass(frozen=True, slots=True)
class ClaimNext:
    """Ask for up to `limit` waiting tasks of any of these requirements, by priority (high first), then age.

    Each answer is taken out of the queue: no other claim gets it until it is saved as PENDING again.
    `ref` is the asker's own and comes back with the answer.
    """

    ref: object
    requirements: tuple[Requirement, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class ClaimTask:
    """Ask for one task by its id. If it waits it is taken out of the queue as by `ClaimNext`."""

    task_id: str


@dataclass(frozen=True, slots=True)
class FindKey:
    """Ask for the task that `caller` created with this idempotency key at or after `since_ms`, if there is one."""

    caller: str
    key: str
    since_ms: int


Ask = ClaimNext | ClaimTask | FindKey


@dataclass(frozen=True, slots=True)
class TasksClaimed:
    """The answer to `ClaimNext`."""

    ask: ClaimNext
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class TaskClaimed:
    """The answer to `ClaimTask`: the task as stored, or None if the id is unknown. `owned`: it waited, and is taken."""

    ask: ClaimTask
    task: Task | None
    owned: bool


@dataclass(frozen=True, slots=True)
class KeyFound:
    """The answer to `FindKey`."""

    ask: FindKey
    task: Task | None


Answer = TasksClaimed | TaskClaimed | KeyFound


@dataclass(slots=True)
class Batch:
    """Everything one turn of the loop changes and asks: applied in one transaction, in the order of the fields."""

    #: The newest value of each touched task. PENDING puts it into the queue, anything else takes it out.
    tasks: dict[str, Task] = field(default_factory=dict)
    #: What is added to the stories, in order, by task.
    story: dict[str, list[StoryEntry]] = field(default_factory=dict)
    #: Answered after the writes, in order.
    asks: list[Ask] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.story or self.asks)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits for one requirement, and since when (Unix ms) the task that entered the queue first."""

    waiting: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a control plane needs to know at its start."""

    #: Tasks that were RUNNING: their runs were with workers that are not connected yet.
    active: tuple[Task, ...] = ()
    backlog: Mapping[Requirement, Backlog] = field(default_factory=dict)
    counts: Mapping[TaskStatus, int] = field(default_factory=dict)


class Store(Protocol):
    """Keeps tasks and their stories. One control plane calls `commit`, one call at a time; reads may come at any time.

    Every method raises `StoreFailed` when the store cannot do its work.
    """

    async def recover(self) -> Recovery:
        """Where things stand. Tasks that were claimed but never saved since wait in the queue again."""
        ...

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        """Applies all of `batch` durably, or nothing of it, and answers its asks in order.

        When it returns, every later read sees the changes. The cost of a task does not grow with the tasks stored.
        """
        ...

    async def get(self, task_id: str) -> Task | None:
        """The task as last committed."""
        ...

    async def find(self, query: TaskQuery) -> TaskPage:
        """The matching tasks, newest id first, at most `query.limit`.

        Following `next_page_token` visits every task once that matches throughout, whatever is created meanwhile.
        Raises `InvalidArgument` for a token that is not from this store.
        """
        ...

    async def story(self, task_id: str, from_seq: int, limit: int = 1000) -> Sequence[StoryEntry]:
        """The task's story from `from_seq` on: at most `limit` entries, in order, without gaps.

        An output segment that holds `from_seq` is cut to begin there. Empty for an unknown id or past the end.
        """
        ...

    async def backlog(self) -> Mapping[Requirement, Backlog]:
        """What waits in the queue now, for each requirement with at least one waiting task."""
        ...

    async def close(self) -> None:
        """Releases everything; doing it twice is harmless."""
        ...
