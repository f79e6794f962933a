"""The simplest store there can be, for simulations of the core: plain dicts, a scan for each question, no loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

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
    ExpiredClaimed,
    FindKey,
    KeyFound,
    RateTaken,
    Recovery,
    RelayCancel,
    RunsClaimed,
    StrandedClaimed,
    TakeRate,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.domain.records import Requirement, StoryEntry, Task
from taskrun.domain.relayed import MessageAsk, answer_alone
from taskrun.domain.status import TaskStatus


class NaiveStore:
    """What `Store` says of `commit` and `recover`, word for word and without a thought for speed."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.stories: dict[str, list[StoryEntry]] = {}
        #: Taken out of the queue and not saved since.
        self.claimed: set[str] = set()
        self._answers: dict[type, Callable[[Any], Answer]] = {
            ClaimNext: self._claim_next,
            ClaimTask: self._claim_task,
            ClaimExpired: self._claim_expired,
            ClaimStranded: self._claim_stranded,
            FindKey: self._find_key,
            ClaimRuns: lambda ask: RunsClaimed(ask, ()),
            TakeRate: lambda ask: RateTaken(ask, ask.wanted),
            **dict.fromkeys(get_args(MessageAsk), answer_alone),
            RelayCancel: lambda ask: CancelRelayed(ask, self.tasks.get(ask.task_id)),
        }

    def commit(self, batch: Batch) -> list[Answer]:
        """Applies the batch and answers its asks."""
        self.tasks |= batch.tasks
        self.claimed -= batch.tasks.keys()
        for task_id, entries in batch.story.items():
            self.stories.setdefault(task_id, []).extend(entries)
        return [self._answer(ask) for ask in batch.asks]

    def recover(self) -> Recovery:
        """Where things stand; what was claimed waits again."""
        self.claimed.clear()
        backlog: dict[Requirement, Backlog] = {}
        for task in self.waiting():
            known = backlog.get(task.requirement, Backlog(0, task.created_at_ms))
            backlog[task.requirement] = Backlog(known.waiting + 1, min(known.oldest_ms, task.created_at_ms))
        return Recovery(tuple(self.having(TaskStatus.RUNNING)), backlog, expires_at_ms=self._next_ms())

    def having(self, status: TaskStatus) -> list[Task]:
        """The tasks of this status, oldest first."""
        return sorted((task for task in self.tasks.values() if task.status is status), key=lambda task: task.id)

    def waiting(self) -> list[Task]:
        """The queue, in its order."""
        queue = (task for task in self.having(TaskStatus.PENDING) if task.id not in self.claimed)
        return sorted(queue, key=lambda task: task.rank)

    def _answer(self, ask: Ask) -> Answer:
        return self._answers[type(ask)](ask)

    def _claim_next(self, ask: ClaimNext) -> TasksClaimed:
        fitting = [task for task in self.waiting() if task.requirement in ask.requirements]
        taken = fitting[: ask.limit]
        self.claimed.update(task.id for task in taken)
        return TasksClaimed(ask, tuple(taken))

    def _claim_task(self, ask: ClaimTask) -> TaskClaimed:
        task = self.tasks.get(ask.task_id)
        owned = task in self.waiting()
        if owned:
            self.claimed.add(ask.task_id)
        return TaskClaimed(ask, task, owned)

    def _claim_expired(self, ask: ClaimExpired) -> ExpiredClaimed:
        taken = [task for task in self._expiring() if task.expires_at_ms <= ask.until_ms][: ask.limit]
        self.claimed.update(task.id for task in taken)
        return ExpiredClaimed(ask, tuple(taken), self._next_ms())

    def _claim_stranded(self, ask: ClaimStranded) -> StrandedClaimed:
        taken = sorted((task for task in self.waiting() if task.spec.holder == ask.worker_id), key=lambda task: task.id)
        self.claimed.update(task.id for task in taken[: ask.limit])
        return StrandedClaimed(ask, tuple(taken[: ask.limit]))

    def _expiring(self) -> list[Task]:
        """Those in the queue that may not wait for ever, in the order of their time."""
        waiting = (task for task in self.waiting() if task.expires_at_ms)
        return sorted(waiting, key=lambda task: (task.expires_at_ms, task.id))

    def _next_ms(self) -> int:
        return next((task.expires_at_ms for task in self._expiring()), 0)

    def _find_key(self, ask: FindKey) -> KeyFound:
        wanted = (ask.caller, ask.key)
        found = (
            task
            for task in self.tasks.values()
            if (task.created_by, task.spec.idempotency_key) == wanted and task.created_at_ms >= ask.since_ms
        )
        return KeyFound(ask, next(found, None))
