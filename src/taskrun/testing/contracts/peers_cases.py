"""The steps and listeners of which the contract of control planes that share a store is made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from taskrun.domain.records import AgentSpec, Task, WorkerInfo, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.peers import Call, Peers
from taskrun.ports.store import Batch, ClaimRuns, RelayMessage, RunsClaimed, Store
from taskrun.testing.contracts.store_cases import task_id


class SharedStore(Store, Protocol):
    """A store with the way to others on it."""

    @property
    def peers(self) -> Peers:
        """The others."""
        ...


async def inherit(store: SharedStore) -> Sequence[Task]:
    """The RUNNING tasks that one meeting gives."""
    return (await store.peers.meet([])).inherited


async def claim_runs(store: SharedStore, worker_id: str = "worker-1") -> tuple[Task, ...]:
    """The tasks that one `ClaimRuns` gives."""
    [answer] = await store.commit(Batch(asks=[ClaimRuns(None, worker_id)]))
    assert isinstance(answer, RunsClaimed)
    return answer.tasks


def of_worker(worker_id: str, task: Task) -> Task:
    """The task, with its runs at this worker."""
    return replace(task, runs=tuple(replace(run, worker_id=worker_id) for run in task.runs))


def view(worker_id: str, status: WorkerStatus = WorkerStatus.IDLE, runs: int = 0) -> WorkerView:
    """A worker as it is shown."""
    return WorkerView(
        worker_id, WorkerInfo("host", "1", (AgentSpec("echo"),)), status, runs, 5, 6, 7, "turned a run away"
    )


def message(number: int, id: str, text: str = "more") -> RelayMessage:
    """A message for the run of the task of this number."""
    return RelayMessage(id, task_id(number), f"run-{number}", text)


class Ear:
    """What one hears, call by call."""

    def __init__(self, store: SharedStore) -> None:
        self._calls = store.peers.calls()

    async def next(self) -> Call:
        """The next call, as soon as it comes."""
        async with asyncio.timeout(10):
            return await anext(self._calls)

    async def close(self) -> None:
        """Listens no more."""
        await self._calls.aclose()  # type: ignore[attr-defined]  # a generator
