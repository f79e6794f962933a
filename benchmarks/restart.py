"""How long a control plane takes to its start on what another has left: very many finished tasks, and open ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from statistics import median

from benchmarks.databases import fresh_databases
from benchmarks.plant import Plant
from benchmarks.table import Figure
from taskrun.adapters.stores.postgres.database import Database as PostgresDatabase
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.batch import Batch
from taskrun.domain.records import Run, StoryEntry, Task, TaskChange, TaskSpec
from taskrun.domain.status import RunStatus, TaskStatus
from taskrun.ports.store import Store

ROUNDS = 3
FINISHED, OPEN = 100_000, 10_000
#: Seconds.
MOST = 5.0
#: Half of the open ones wait; the runs of the others are at so many workers, which are away.
WORKERS = 100
_AT_ONCE = 1000
_RUNS = {TaskStatus.RUNNING: RunStatus.RUNNING, TaskStatus.COMPLETED: RunStatus.COMPLETED}


async def measure(plant: Plant, scale: float) -> list[Figure]:
    figures: list[Figure] = []
    with fresh_databases() as databases:
        file = plant.certs.parent / "restart.db"
        await _fill(SqliteStore(Database(file)), scale)
        urls = {"sqlite": f"sqlite:{file}"}
        if databases is not None:
            urls["postgresql"] = url = next(databases)
            await _fill(PostgresStore(PostgresDatabase(url)), scale)
        what = f"{int(FINISHED * scale):,} finished and {int(OPEN * scale):,} open tasks"
        for name, url in urls.items():
            seconds = median([await _start(plant, url) for _ in range(ROUNDS)])
            figures.append(Figure(f"ready with {what}, {name}", seconds, "s", at_most=MOST))
    return figures


async def _start(plant: Plant, url: str) -> float:
    """Seconds from the start of the process until it says that it is ready."""
    began = time.perf_counter()
    async with plant.control_plane(url):
        return time.perf_counter() - began


async def _fill(store: Store, scale: float) -> None:
    await store.recover()
    tasks = _tasks(int(FINISHED * scale), int(OPEN * scale))
    while part := list(islice(tasks, _AT_ONCE)):
        stories = {task.id: [StoryEntry(0, task.created_at_ms, TaskChange(task.status))] for task in part}
        await store.commit(Batch({task.id: task for task in part}, stories))
    await store.close()


def _tasks(finished: int, open: int) -> Iterator[Task]:
    new_id, spec, now_ms = UuidV7Source(), TaskSpec("noop", '"some input"'), int(time.time() * 1000)
    statuses = [TaskStatus.COMPLETED] * finished + [TaskStatus.PENDING, TaskStatus.RUNNING] * (open // 2)
    for number, status in enumerate(statuses):
        runs: tuple[Run, ...] = ()
        if run_status := _RUNS.get(status):
            runs = (Run(new_id(), f"worker-{number % WORKERS}", run_status, 1, now_ms, now_ms, process="p"),)
        ended_ms = now_ms if status.is_terminal else 0
        yield Task(new_id(), spec, status, "bench", now_ms, runs=runs, finished_at_ms=ended_ms, next_seq=1)
