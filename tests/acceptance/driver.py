"""What the steps ask of a running TaskRun, whichever way it runs.

A driver speaks the words of the domain and answers with its records; it raises the domain's errors. All of it is
synchronous, as a person at a terminal is. One driver serves one scenario, which begins with no worker and no task.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.explanation import Explanation
from taskrun.domain.records import Labels, StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.enrollment import BootstrapToken


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """How a worker is started. Its agents are those of `cast.py`."""

    agents: Sequence[str]
    labels: Labels
    #: None is what a worker has by default.
    slots: int | None = None


class Caller(Protocol):
    """Somebody with a client's certificate, and what he may or may not do. All else is done by an operator."""

    def create(self, spec: TaskSpec) -> Task:
        """As `Driver.create`."""
        ...

    def get(self, task_id: str) -> Task:
        """As `Driver.get`."""
        ...

    def cancel(self, task_id: str) -> Task:
        """As `Driver.cancel`."""
        ...

    def continue_task(self, task_id: str, message: str) -> Task:
        """As `Driver.continue_task`."""
        ...

    def create_token(self, worker_id: str) -> BootstrapToken:
        """A bootstrap token for this worker."""
        ...

    def certificates(self) -> Sequence[Certificate]:
        """Those that are recorded."""
        ...

    def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        """As `Driver.revoke_worker`."""
        ...


class Driver(Protocol):
    """One running control plane and its workers."""

    # Enrolment.

    def create_token(self, worker_id: str, ttl_seconds: int) -> BootstrapToken:
        """A bootstrap token, as an operator makes one."""
        ...

    def enrol(self, token: str) -> str:
        """A new machine spends the token. Returns the id in the certificate it got, which `start_worker` then uses."""
        ...

    def enrol_malformed(self, token: str) -> None:
        """A new machine shows the token with a request that cannot be signed."""
        ...

    def revoke_worker(self, worker_id: str) -> object:
        """All certificates that it has are worth nothing from now on."""
        ...

    # Clients.

    def client(self, name: str, role: str) -> Caller:
        """Somebody for whom an operator has just made a certificate with this role."""
        ...

    def revoke_client(self, name: str) -> None:
        """All certificates that it has are worth nothing from now on."""
        ...

    # Workers.

    def start_worker(self, worker_id: str, setup: WorkerSetup) -> None:
        """Starts it, enrolling it first if it is not; returns once it is connected."""
        ...

    def drain_worker(self, worker_id: str) -> None:
        """Asks it to finish what it has and to go; returns once the control plane knows."""
        ...

    def kill_worker(self, worker_id: str) -> None:
        """Its machine loses power."""
        ...

    def cut_worker(self, worker_id: str) -> None:
        """Its connection breaks; its process goes on."""
        ...

    def freeze_worker(self, worker_id: str) -> None:
        """Its process stands still, its connection stays open."""
        ...

    def thaw_worker(self, worker_id: str) -> None:
        """Its process goes on."""
        ...

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        """As listed."""
        ...

    # Tasks.

    def create(self, spec: TaskSpec) -> Task:
        """Creates a task. The limits of its time are in the scenario's."""
        ...

    def get(self, task_id: str) -> Task:
        """As it now is."""
        ...

    def find(self, query: TaskQuery) -> TaskPage:
        """Among the scenario's own tasks."""
        ...

    def explain(self, task_id: str) -> Explanation:
        """Why it waits."""
        ...

    def cancel(self, task_id: str) -> Task:
        """Asks for its end."""
        ...

    def continue_task(self, task_id: str, message: str, *, fork: bool = False) -> Task:
        """Says something more to its agent. Returns the task that will have the answer."""
        ...

    def watch(self, task_id: str, from_seq: int = 0) -> Generator[Sequence[StoryEntry], None, None]:
        """Its story, live. Close it to go away."""
        ...

    def finish(self, title: str) -> None:
        """Lets the agents that work on this title come to their end, now or whenever they begin."""
        ...

    def is_waiting(self, title: str) -> bool:
        """Whether an agent has come to the point where it waits for that."""
        ...

    def is_executing(self, run_id: str) -> bool:
        """Whether anything of this run still executes on any worker."""
        ...

    # The rest of the world.

    def metrics(self) -> Mapping[str, float]:
        """What a scrape shows, by the text of each sample's name and labels, less what it showed when this began."""
        ...

    def pass_time(self, seconds: float) -> None:
        """So much of the scenario's time passes."""
        ...

    def moments(self, seconds: float) -> Iterator[None]:
        """Moments at which to look again at what should come about within so much of the scenario's time."""
        ...
