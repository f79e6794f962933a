"""What happened, in the past tense: for metrics, logs and whoever embeds the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from taskrun.domain.quotas import AccountName
from taskrun.domain.records import Consumption, Requirement, Task
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class TaskMoved:
    """A task entered `new`; `old` is None for a new task."""

    task: Task
    old: TaskStatus | None
    new: TaskStatus


@value(frozen=True, slots=True)
class TaskRequeued:
    """A run ended without an answer and the task waits again."""

    task: Task
    failure: FailureKind


@value(frozen=True, slots=True)
class TaskExpired:
    """A task waited for longer than it may, `waited_ms`, and has failed."""

    task: Task
    waited_ms: int


@value(frozen=True, slots=True)
class TaskRefused:
    """There was to be one more task, and a limit forbade it: this figure of this account's."""

    account: AccountName
    #: "waiting" or "per_minute".
    figure: str


@value(frozen=True, slots=True)
class TasksHeld:
    """So many waiting tasks are held by limits on how many run at once, by the keys that these count by."""

    by: Mapping[str, int]


@value(frozen=True, slots=True)
class RunAssigned:
    """A run was given to a worker, `waited_ms` after its task began to wait."""

    task_id: str
    run_id: str
    worker_id: str
    requirement: Requirement
    waited_ms: int


@value(frozen=True, slots=True)
class RunEnded:
    """A run reached its end, `duration_ms` after it was assigned."""

    task_id: str
    run_id: str
    worker_id: str
    agent: str
    status: RunStatus
    failure: FailureKind | None
    duration_ms: int
    #: What it consumed, by model, as far as that was reported.
    consumed: Mapping[str, Consumption] = field(default_factory=dict)


@value(frozen=True, slots=True)
class WorkerMoved:
    """A worker's status changed; `old` is None when it came, `new` is None when it is gone for good."""

    worker_id: str
    old: WorkerStatus | None
    new: WorkerStatus | None


@value(frozen=True, slots=True)
class WorkerConnected:
    """A worker's stream was let in. `again`: this control plane has seen it before."""

    worker_id: str
    again: bool


@value(frozen=True, slots=True)
class SlotsChanged:
    """The slots of all connected workers: taken, and free for a task. Who drains or failed has none that are free."""

    taken: int
    free: int


@value(frozen=True, slots=True)
class MessageRefused:
    """A worker's message did not count: its run is over, another's, or unknown."""

    worker_id: str
    run_id: str
    what: str


@value(frozen=True, slots=True)
class TasksRemoved:
    """So many finished tasks of each status were removed, because they need not be kept any longer."""

    counts: Mapping[TaskStatus, int]


@value(frozen=True, slots=True)
class CertificatesAged:
    """So many workers are connected with a certificate that should long have been renewed."""

    count: int


@value(frozen=True, slots=True)
class ServerCertificateShown:
    """The control plane shows a certificate that ends at this moment (Unix ms)."""

    not_after_ms: int


DomainEvent = (
    TaskMoved
    | TasksRemoved
    | TaskRequeued
    | TaskExpired
    | TaskRefused
    | TasksHeld
    | RunAssigned
    | RunEnded
    | WorkerMoved
    | WorkerConnected
    | SlotsChanged
    | MessageRefused
    | CertificatesAged
    | ServerCertificateShown
)
