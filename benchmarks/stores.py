"""The three stores side by side, and what group commit is worth."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.plant import Plant
from benchmarks.table import Figure
from benchmarks.throughput import create_in_batches, create_one_by_one, rate
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.batch import Batch
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import TaskStatus
from taskrun.testing.postgres_server import PostgresServer, programs

if TYPE_CHECKING:
    from benchmarks.throughput import Stub

#: Measured in turns, so that what the machine does beside us is shared out; the best of each counts.
ROUNDS = 3

#: By way: how tasks are created, how many, and what share of the memory store's rate each store should reach.
WAYS: dict[str, tuple[Callable[[Stub, int], Awaitable[None]], int, dict[str, float]]] = {
    "one create a task": (create_one_by_one, 4000, {"sqlite": 0.9, "postgresql": 0.8}),
    "batched creates": (create_in_batches, 20_000, {"sqlite": 0.5, "postgresql": 0.6}),
}


async def measure(plant: Plant, scale: float) -> list[Figure]:
    figures = []
    with _stores(plant.certs.parent) as stores:
        for way, (create, most, marks) in WAYS.items():
            count = int(most * max(scale, 0.25))
            best = dict.fromkeys(stores, 0.0)
            for number in range(ROUNDS):
                for store, place in stores.items():
                    best[store] = max(best[store], await rate(plant, create, count, place(f"{way[:3]}{number}")))
            for store, tasks in best.items():
                figures.append(Figure(f"{store}: {count:,} tasks, {way}", tasks, "/s", limit="unary_rate"))
            for store, mark in marks.items():
                if store in best:
                    figures.append(
                        Figure(f"  {store} against memory", best[store] / best["memory"], "x", at_least=mark)
                    )
    return [*figures, *await _group_commit(plant.certs.parent, int(2000 * max(scale, 0.1)))]


@contextmanager
def _stores(directory: Path) -> Iterator[dict[str, Callable[[str], str]]]:
    """Each store's name, and what makes a `--store` of an empty one."""
    stores: dict[str, Callable[[str], str]] = {
        "memory": lambda name: "memory",
        "sqlite": lambda name: f"sqlite:{directory / f'{name}.db'}",
    }
    if programs() is None:
        yield stores
        return
    server = PostgresServer()
    try:
        yield {**stores, "postgresql": lambda name: _database(server, name)}
    finally:
        server.close()


def _database(server: PostgresServer, name: str) -> str:
    # Its library is installed with the extra only.
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return server.url(name)


async def _group_commit(directory: Path, tasks: int) -> list[Figure]:
    """Tasks a second that one SQLite writer takes in, one a transaction and fifty."""
    rates = {}
    for size in (1, 50):
        store, new_id = SqliteStore(Database(directory / f"commits-{size}.db")), UuidV7Source()
        await store.recover()
        spec = TaskSpec("noop", "null")
        began = time.perf_counter()
        for _ in range(tasks // size):
            made = [Task(new_id(), spec, TaskStatus.PENDING, "bench", 1) for _ in range(size)]
            await store.commit(Batch({task.id: task for task in made}))
        rates[size] = tasks / (time.perf_counter() - began)
        await store.close()
    return [
        Figure("sqlite: one transaction a task", rates[1], "/s"),
        Figure("sqlite: fifty tasks a transaction", rates[50], "/s"),
    ]
