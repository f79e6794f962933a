"""What the control plane offers to the adapters that call it: its inbound ports.

The engine implements them; gRPC, HTTP and the in-process link call them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from taskrun.domain.errors import TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.protocol import FromWorker, Hello, ToWorker
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus


class TaskApi(Protocol):
    """Tasks, for callers. Each method may raise `Unavailable`: then nothing was changed."""

    async def create(self, specs: Sequence[TaskSpec], created_by: str) -> Sequence[Task | TaskRunError]:
        """Creates a task for each spec and answers in their order, once all are stored.

        A spec with an idempotency key that this caller used within 24 h gives the task it made then, or
        `AlreadyExists` if the rest of the spec differs.
        """
        ...

    async def get(self, task_id: str) -> Task:
        """Raises `NotFound`."""
        ...

    async def find(self, query: TaskQuery) -> TaskPage:
        """Tasks, newest first, in pages as `Store.find` has them. Raises `InvalidArgument` for a bad page token."""
        ...

    async def explain(self, task_id: str) -> Explanation:
        """Why the task waits, as far as it can be known at this moment: what changes meanwhile may show in part of it.

        The workers are those of every control plane on the store; until when a task rests only that one knows which
        lets it. Raises `NotFound`.
        """
        ...

    async def cancel(self, task_id: str) -> Task:
        """Asks for the end of a task. A waiting one is CANCELLED at once; of a running one the answer says
        `cancel_requested`. Asking again changes nothing. Raises `NotFound`, and `FailedPrecondition` if it has ended.
        """
        ...

    async def continue_task(
        self, task_id: str, message: str, asked_by: str, *, fork: bool = False, key: str = ""
    ) -> Task:
        """Says something more to the agent of a task. Returns the task that will have its answer, once that is sure.

        If the task has ended that is a new one, which goes on with the session on the worker that holds it, with a copy
        of it if `fork`. If it runs it is the same, whose agent hears the message when its turn is over. Under an
        idempotency key the same message is said once, as for `create`. Where its run is does not matter.

        Raises `NotFound`, `AlreadyExists` (key), `ResourceExhausted` (one run takes 100 messages), `Unconfirmed` if the
        worker is silent, and `FailedPrecondition` where there is no session, its worker is gone, or the run ends first.
        """
        ...

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncIterator[Sequence[StoryEntry]]:
        """The task's story from `from_seq` on, in order, without gaps or repeats, as it grows; ends with the task.

        What gathers while the reader is away comes as one list; a slow reader costs no memory. Raises `NotFound`.
        """
        ...


class WorkerApi(Protocol):
    """Workers, for callers."""

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        """The matching workers that are connected or may still come back, by id."""
        ...

    def worker(self, worker_id: str) -> WorkerView:
        """Raises `NotFound`."""
        ...


class WorkerOutbox(Protocol):
    """The way to one connected worker. A transport adapter implements it, one for each stream."""

    def send(self, messages: Sequence[ToWorker]) -> None:
        """Queues the messages, in order; never blocks, never raises. A worker that stops reading is cut."""
        ...

    def close(self, error: TaskRunError) -> None:
        """Ends the stream with this error once what was queued is sent; doing it twice is harmless."""
        ...


class WorkerGateway(Protocol):
    """Where worker streams enter. A session is one stream; it ends when the stream does."""

    async def connect(self, worker_id: str, hello: Hello, outbox: WorkerOutbox) -> int:
        """Lets a worker in under its certificate's id and returns the session.

        A worker of that id that is still connected is cut off: the newer stream wins.
        Raises `Unavailable` while the control plane drains.
        """
        ...

    async def receive(self, session: int, messages: Sequence[FromWorker], size: int = 0) -> None:
        """Takes in what the worker sent, in order; `size` is what it took on the wire, in bytes.

        Waits while the control plane is behind: read on only after it.
        """
        ...

    async def disconnect(self, session: int) -> None:
        """The stream is gone. Safe to call for a session that is over."""
        ...
