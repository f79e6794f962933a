"""What outlives a restart, a kill and a failure, wherever tasks are kept. A binding gives the `place` fixture."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

import pytest

from taskrun.domain.errors import StoreFailed
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, ClaimNext, Store
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    ON_GPU,
    RUNNING,
    change,
    claim,
    find_key,
    ids,
    make_task,
    output,
    save,
    task_id,
    tell,
)
from tests.adapters.stores.full_task import STORY, full_task

BATCH = 50
#: Goes on behind `Place.OPEN`.
COMMIT_FOR_EVER = """
import asyncio
from taskrun.ports.store import Batch
from taskrun.testing.contracts.store_cases import change, make_task

async def main(size):
    for number in range(1_000_000):
        tasks = [make_task(number * size + n) for n in range(size)]
        await store.commit(Batch({task.id: task for task in tasks}, {task.id: [change(0)] for task in tasks}))
        print(number, flush=True)

asyncio.run(main(int(sys.argv[2])))
"""


class DurableStore(Store, Protocol):
    """One that is opened and closed."""

    async def close(self) -> None: ...


class Place(ABC):
    """Where tasks are kept, whoever has it open."""

    #: Python that imports `sys` and opens `store` at `sys.argv[1]`.
    OPEN: ClassVar[str]

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def open(self) -> DurableStore:
        """A store at this place."""

    @abstractmethod
    def sabotaged(self) -> AbstractContextManager[object]:
        """Meanwhile no story can be written."""

    @abstractmethod
    def findings(self) -> Sequence[str]:
        """What is wrong with what is kept."""


class DurabilityContract:
    """Sign it by subclassing with a `place` fixture."""

    @pytest.fixture
    async def store(self, place: Place) -> AsyncIterator[DurableStore]:
        store = place.open()
        yield store
        await store.close()

    async def test_a_restart_keeps_every_field_of_tasks_and_stories(self, store: DurableStore, place: Place) -> None:
        await tell(store, full_task(), *STORY)
        await store.close()
        again = place.open()
        assert await again.get(task_id(1)) == full_task()
        assert list(await again.story(task_id(1), 0)) == STORY
        assert (await again.recover()).active == (full_task(),)
        await again.close()

    async def test_a_restart_keeps_keys_and_gives_claimed_tasks_back(self, store: DurableStore, place: Place) -> None:
        await save(store, make_task(1, idempotency_key="k"), make_task(2, priority=5), make_task(3, RUNNING))
        assert await claim(store, limit=1) == ids(2)
        await store.close()
        again = place.open()
        recovery = await again.recover()
        assert recovery.backlog == {GENERAL: Backlog(2, 1001)}
        assert recovery.counts[TaskStatus.PENDING] == 2
        assert await claim(again) == ids(2, 1)
        assert await find_key(again, "ann", "k") == make_task(1, idempotency_key="k")
        await again.close()

    @pytest.mark.parametrize("seen", [1, 7, 20])
    async def test_a_process_that_is_killed_leaves_whole_batches_and_all_that_it_acknowledged(
        self, place: Place, seen: int
    ) -> None:
        acknowledged = await asyncio.to_thread(_acknowledged_by_one_that_is_killed, place, seen)
        store = place.open()
        recovery = await store.recover()
        stored = recovery.counts[TaskStatus.PENDING]
        assert stored % BATCH == 0
        assert stored // BATCH >= acknowledged - 1  # the last line may be half a line
        assert recovery.backlog == {GENERAL: Backlog(stored, 1000)}
        assert list(await store.story(task_id(stored - 1), 0)) == [change(0)]
        assert await store.get(task_id(stored)) is None
        assert place.findings() == []
        await store.close()

    async def test_a_commit_that_fails_on_its_way_leaves_no_trace(self, store: DurableStore, place: Place) -> None:
        await save(store, make_task(1), make_task(2))
        tasks = (make_task(1, RUNNING), make_task(3, needs=ON_GPU, idempotency_key="k"))
        batch = Batch({task.id: task for task in tasks}, {task_id(3): [change(0)]}, [ClaimNext(None, (GENERAL,), 1)])
        with place.sabotaged(), pytest.raises(StoreFailed, match="refused its work"):
            await store.commit(batch)
        assert await store.backlog() == {GENERAL: Backlog(2, 1001)}
        assert await find_key(store, "ann", "k") is None
        await save(store, make_task(3, needs=ON_GPU))
        assert await claim(store, GENERAL, ON_GPU) == ids(1, 2, 3)
        assert (await store.recover()).counts[TaskStatus.PENDING] == 3

    async def test_a_value_that_is_no_text_is_refused_and_leaves_no_trace(self, store: DurableStore) -> None:
        with pytest.raises(StoreFailed, match="does not fit"):
            await tell(store, make_task(1), output(0, "\ud800"))
        assert await store.get(task_id(1)) is None
        await save(store, make_task(1))

    async def test_a_story_of_many_megabytes_is_read_in_parts(self, store: DurableStore) -> None:
        chunk = "x" * 60_000
        await save(store, make_task(1))
        for seq in range(1, 201, 10):
            segments = [output(n, chunk, first_seq=n) for n in range(seq, seq + 10)]
            await store.commit(Batch(story={task_id(1): segments}))
        seq, parts = 1, 0
        while part := await store.story(task_id(1), seq):
            assert part[0].seq == seq
            seq, parts = part[-1].next_seq, parts + 1
        assert (seq, parts > 1) == (201, True)

    async def test_a_task_under_the_id_of_another_is_refused(self, store: DurableStore) -> None:
        with pytest.raises(StoreFailed, match="under the id of another"):
            await store.commit(Batch({task_id(2): make_task(1)}))


def _acknowledged_by_one_that_is_killed(place: Place, seen: int) -> int:
    command = [sys.executable, "-c", place.OPEN + COMMIT_FOR_EVER, place.address, str(BATCH)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        for _ in range(seen):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        return seen + len(writer.stdout.readlines())
