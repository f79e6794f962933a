"""What the control plane demands of the place where tasks live.

The store is the queue: a task saved as PENDING waits in it under its requirement until it is claimed. The core decides,
the store applies: there is no rule about states in here. What it is given, `Batch`, and what it answers are values of
the domain (`taskrun.domain.batch`), at home there and named again here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from taskrun.domain.batch import (
    Answer,
    Ask,
    Backlog,
    Batch,
    CancelRelayed,
    ClaimExpired,
    ClaimNext,
    ClaimRuns,
    ClaimStranded,
    ClaimTask,
    Disowned,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    RateTaken,
    Recovery,
    RelayCancel,
    Retention,
    RunsClaimed,
    StrandedClaimed,
    TakeRate,
    TaskClaimed,
    TasksClaimed,
    TurnedAway,
)
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.relayed import (
    AnswerMessage,
    ClaimMessages,
    CollectMessage,
    MessageAnswered,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
    RelayMessage,
)
from taskrun.domain.status import TaskStatus

__all__ = [
    "Answer",
    "AnswerMessage",
    "Ask",
    "Backlog",
    "Batch",
    "CancelRelayed",
    "ClaimExpired",
    "ClaimMessages",
    "ClaimNext",
    "ClaimRuns",
    "ClaimStranded",
    "ClaimTask",
    "CollectMessage",
    "Disowned",
    "ExpiredClaimed",
    "FindKey",
    "KeyFound",
    "MessageAnswered",
    "MessageCollected",
    "MessageRelayed",
    "MessagesClaimed",
    "RateTaken",
    "Recovery",
    "RelayCancel",
    "RelayMessage",
    "Retention",
    "RunsClaimed",
    "Store",
    "StrandedClaimed",
    "TakeRate",
    "TaskClaimed",
    "TasksClaimed",
    "TurnedAway",
]


class Store(Protocol):
    """Keeps tasks and their stories. One control plane calls `commit`, one call at a time; the rest may come any time.

    Several control planes may share what is stored, each through a `Store` of its own (`taskrun.ports.peers`). A task
    that was claimed or that runs belongs to the one that claimed it or gave its run out, until that one gives it back,
    ends, or falls silent.

    Every method raises `StoreFailed` when the store cannot do its work.
    """

    @property
    def room(self) -> bool:
        """Whether new tasks may be stored. False while what is left is needed to end those that are under way.

        It costs nothing to ask, becomes true again by itself, and forbids nothing: `commit` still tries its best.
        """
        ...

    async def recover(self) -> Recovery:
        """Where things stand. Tasks that were claimed but never saved since wait in the queue again, and those that run
        belong to this control plane: but for what another has that is alive."""
        ...

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        """Applies all of `batch` durably, or nothing of it, and answers its asks in order.

        A story that begins, with number 0, is that of a new task: what comes later has higher numbers, and no gap.

        What it says of tasks that another control plane has is left out; a `Disowned` that follows the answers names
        them. So are new tasks that would wait where as many do as may (`Batch.waiting`), or for which a rate is used up
        (`Batch.rates`): a `TurnedAway` for each account that is full goes before the answers, which are as if nobody
        had spoken of these tasks. Others take no room and no rate at the same time, and nobody is turned away while
        there is some; who is turned away takes none.

        Raises `LeaseLost`, also a `StoreFailed`, if another has taken all of them over: then nothing is stored until
        `recover` was called. Raises `Overruled`, which is one too, if it ends tasks in another way than CANCELLED of
        which a `RelayCancel` was stored, by whomever: so whatever a task's end is, it is known with it whether somebody
        was told that the task is cancelled. Raises `Overbooked`, one as well, if it has new tasks begin where as many
        run as may (`Batch.running`): nobody else fills that room at the same time, and none is refused while there is
        some. What has ended by what the batch says runs no longer.

        When it returns, every later read sees the changes. The cost of a task does not grow with the tasks stored.
        """
        ...

    async def get(self, task_id: str) -> Task | None:
        """The task as last committed."""
        ...

    async def find(self, query: TaskQuery) -> TaskPage:
        """The matching tasks, newest id first, at most `query.limit`.

        A page may hold fewer, or none, and yet not be the last: a search that finds little may stop to let others run.
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

    async def ahead(self, task_id: str, most: int) -> int | None:
        """How many tasks of the same requirement go before this one in the queue, counted up to `most`.

        None if the task is not in the queue: it is unknown, claimed, with a worker, or at its end. The cost does not
        grow with what waits beyond `most`.
        """
        ...

    async def prune(self, retention: Retention, limit: int) -> Mapping[TaskStatus, int]:
        """Removes finished tasks that need not be kept, with their stories, and says how many of each status.

        Those go first that ended first, at most `limit` a call, and fewer when their stories are long: a commit never
        waits for more than a moment. So a caller goes on until an answer is empty. The bytes that the store uses are
        its own estimate; tasks that have not ended are never touched, however large they are.
        """
        ...

    async def close(self) -> None:
        """Releases everything; doing it twice is harmless."""
        ...
