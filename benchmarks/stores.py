"""What it costs to keep tasks: tasks a second on each store, against memory in the same round; and group commit."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.databases import fresh_databases
from benchmarks.plant import Plant
from benchmarks.table import Figure
from benchmarks.throughput import WAYS, rate
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.batch import Batch
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import TaskStatus

#: Each store is measured so often, in turn: these machines are noisy.
ROUNDS = 7
#: Of what memory does, by the way of creating.
MARKS = {
    "sqlite": {"one create a task": 0.9, "batched creates": 0.5},
    "postgresql": {"one create a task": 0.8, "batched creates": 0.6},
}


@contextmanager
def _places() -> Iterator[dict[str, Iterator[str]]]:
    """By store, a new place for each control plane."""
    numbers = count()
    with tempfile.TemporaryDirectory(prefix="taskrun-bench-") as directory, fresh_databases() as databases:
        places: dict[str, Iterator[str]] = {"sqlite": (f"sqlite:{directory}/{number}.db" for number in numbers)}
        if databases is not None:
            places["postgresql"] = databases
        yield places


async def measure(plant: Plant, scale: float) -> list[Figure]:
    figures = []
    with _places() as places:
        for way, (create, _) in WAYS.items():
            tasks = int((2000 if way == "one create a task" else 12_000) * max(scale, 0.3))
            rates: dict[str, list[float]] = {name: [] for name in ("memory", *places)}
            for _ in range(ROUNDS):
                rates["memory"].append(await rate(plant, create, tasks))
                for name, fresh in places.items():
                    rates[name].append(await rate(plant, create, tasks, next(fresh)))
            figures.append(Figure(f"{way}, memory", median(rates["memory"]), "/s"))
            for name in places:
                ratio = median(each / memory for each, memory in zip(rates[name], rates["memory"], strict=True))
                figures.append(Figure(f"{way}, {name}", median(rates[name]), "/s"))
                figures.append(Figure("  against memory", ratio, "x", at_least=MARKS[name][way]))
    return [*figures, *await _group_commit(int(2000 * max(scale, 0.1)))]


async def _group_commit(tasks: int) -> list[Figure]:
    """Tasks a second that one SQLite writer takes in, one a transaction and fifty."""
    rates = {}
    for size in (1, 50):
        directory = tempfile.TemporaryDirectory(prefix="taskrun-bench-")
        store, new_id = SqliteStore(Database(Path(directory.name) / "tasks.db")), UuidV7Source()
        await store.recover()
        spec = TaskSpec("noop", "null")
        began = time.perf_counter()
        for _ in range(tasks // size):
            made = [Task(new_id(), spec, TaskStatus.PENDING, "bench", 1) for _ in range(size)]
            await store.commit(Batch({task.id: task for task in made}))
        rates[size] = tasks / (time.perf_counter() - began)
        await store.close()
        directory.cleanup()
    return [
        Figure("sqlite: one transaction a task", rates[1], "/s"),
        Figure("sqlite: fifty tasks a transaction", rates[50], "/s"),
    ]
