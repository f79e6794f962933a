"""What a second and a third control plane on one PostgreSQL bring, or cost: the same load, spread over all of them.

A machine is noisy, so every round measures one control plane twice, before the others and after them: what changes
slowly falls out of a ratio to the mean of both, and how far the two lie apart is how much the same thing differs from
itself. By so much may two be below one, and never by more than `MOST_NOISE`: that much loss shows on any machine.

How many control planes there are must not change what is done: a task that waits for a slot is stored once more, and
claimed. So every control plane has slots for all tasks, or every task waits. With as many as one needs, shared by two,
half of their tasks would wait where those of one do not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING

from benchmarks.calls import all_ended, completed, many
from benchmarks.databases import fresh_databases
from benchmarks.plant import Plant
from benchmarks.table import Figure
from benchmarks.throughput import BATCH, REQUEST
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

if TYPE_CHECKING:
    from benchmarks.throughput import Stub

#: Odd, so that the median is a round that was measured.
ROUNDS = 5
#: Loops of clients, and connections of workers: as many for each of one, two and three control planes.
SPREAD = 6
#: Tasks that warm the control planes up.
WARM_UP = 600
#: What is put down to the machine, at most, as a share of what one control plane does.
MOST_NOISE = 0.1
#: Slots of each connection, so that no task waits for one, or nearly all do.
SLOTS = {"which find a free slot": 1000, "which wait for a slot": 20}
#: How many control planes, besides one, and whether they must lose nothing against it.
OTHERS = {2: True, 3: False}


@dataclass(frozen=True, slots=True)
class Round:
    """Tasks a second, measured one after the other."""

    before: float
    others: dict[int, float]
    after: float

    @property
    def one(self) -> float:
        """What one control plane did meanwhile."""
        return mean((self.before, self.after))

    @property
    def noise(self) -> float:
        """How far what was measured twice lies apart, as a share of its mean."""
        return abs(self.before - self.after) / self.one


def figures(what: str, rounds: Sequence[Round]) -> list[Figure]:
    """The medians, and the mark that the noise of these rounds leaves; `what` their tasks do."""
    noise = median(each.noise for each in rounds)
    found = [
        Figure(f"batched creates {what}, postgresql, 1 control plane", median(each.one for each in rounds), "/s"),
        Figure("  measured twice, it differs from itself by", noise, "x"),
    ]
    for planes, must in OTHERS.items():
        ratio = median(each.others[planes] / each.one for each in rounds)
        found += [
            Figure(f"  {planes} control planes", median(each.others[planes] for each in rounds), "/s"),
            Figure("  against 1", ratio, "x", at_least=round(1 - min(noise, MOST_NOISE), 2) if must else None),
        ]
    return found


async def measure(plant: Plant, scale: float) -> list[Figure]:
    count = int(6000 * max(scale, 0.3))
    found: list[Figure] = []
    with fresh_databases() as databases:
        if databases is None:
            return []
        for what, slots in SLOTS.items():
            rounds = [
                Round(
                    await _rate(plant, 1, slots, count, next(databases)),
                    {planes: await _rate(plant, planes, slots, count, next(databases)) for planes in OTHERS},
                    await _rate(plant, 1, slots, count, next(databases)),
                )
                for _ in range(ROUNDS)
            ]
            found += figures(what, rounds)
    return found


async def _rate(plant: Plant, planes: int, slots: int, count: int, store: str) -> float:
    """Tasks a second by so many control planes, from the first create until the last is readable as COMPLETED."""
    async with AsyncExitStack() as stack:
        addresses = [(await stack.enter_async_context(plant.control_plane(store))).address for _ in range(planes)]
        await stack.enter_async_context(plant.worker(*addresses, slots=slots, connections=SPREAD))
        stubs: list[Stub] = [
            tasks_grpc.TaskServiceStub(await stack.enter_async_context(plant.channel(address))) for address in addresses
        ]
        await _create(stubs, WARM_UP)
        began = time.perf_counter()
        await _create(stubs, count)
        took = time.perf_counter() - began
        found = await completed(stubs[-1])
        assert found == count + WARM_UP, f"{found} of {count + WARM_UP} tasks completed"
        return count / took


async def _create(stubs: Sequence[Stub], count: int) -> None:
    """Fifty tasks a call, each call at the next control plane; returns once all have ended."""
    batch = tasks.CreateTasksRequest(tasks=[REQUEST] * BATCH)
    await many(count // BATCH, SPREAD, lambda number: stubs[number % len(stubs)].CreateTasks(batch))
    await all_ended(stubs[0])
