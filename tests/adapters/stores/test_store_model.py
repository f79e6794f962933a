"""The stores against each other, and against a model that is too simple to be wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.postgres import database as postgres
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, Retention, Store
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    ON_GPU,
    TRIAGE,
    change,
    claim,
    claim_expired,
    claim_task,
    find_key,
    make_task,
    moved,
    output,
    requeued,
    save,
    task_id,
    tell,
)
from taskrun.testing.postgres_server import programs

Result = TypeVar("Result")

NUMBERS = st.integers(0, 9)
REQUIREMENTS = st.sampled_from([GENERAL, TRIAGE, ON_GPU])
STATUSES = st.sampled_from(TaskStatus)


async def _page(query: TaskQuery, store: Store) -> TaskPage:
    return await store.find(query)


class StoreModel(RuleBasedStateMachine):
    """Every rule does the same to each store and to a dict, and compares the answers."""

    #: Where a test has an empty PostgreSQL database.
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.directory = TemporaryDirectory()
        self.stores: list[Store] = [MemoryStore(), *self.opened()]
        self.tasks: dict[str, Task] = {}
        self.claimed: set[str] = set()
        self.stories: dict[str, list[StoryEntry]] = {}

    def opened(self) -> Iterator[Store]:
        """Those that outlive a restart."""
        yield SqliteStore(Database(Path(self.directory.name) / "store.db"))
        if self.url:
            yield PostgresStore(postgres.Database(self.url))

    def close(self) -> None:
        for store in self.stores[1:]:
            self.loop.run(store.close())

    def do(self, work: Callable[[Store], Awaitable[Result]]) -> Result:
        async def all_of_them() -> list[Result]:
            return [await work(store) for store in self.stores]

        first, *others = self.loop.run(all_of_them())
        assert all(other == first for other in others)
        return first

    def teardown(self) -> None:
        self.close()
        self.loop.close()
        self.directory.cleanup()

    def waiting(self, *requirements: Requirement) -> list[Task]:
        """Who waits for any of these, in the order in which they go out."""
        return sorted(
            (
                task
                for task in self.tasks.values()
                if task.status is TaskStatus.PENDING
                and task.id not in self.claimed
                and task.requirement in requirements
            ),
            key=lambda task: (task.rank, task.id),
        )

    def own(self, n: int) -> Task | None:
        """The task, if it has not ended, claimed before anything is done to it: what is said of others is dropped where
        several share the store."""
        task = self.tasks.get(task_id(n))
        if task is None or task.status.is_terminal:
            return None
        if task.status is TaskStatus.PENDING:
            self.claim_one(n)
        return task

    def put(self, task: Task) -> None:
        self.do(lambda store: save(store, task))
        self.has(task)

    def has(self, task: Task) -> None:
        self.tasks[task.id] = task
        self.claimed.discard(task.id)

    @rule(
        n=NUMBERS,
        status=STATUSES,
        needs=REQUIREMENTS,
        priority=st.integers(-1, 1),
        at_ms=st.integers(1, 5),
        until_ms=st.integers(0, 4),
        keyed=st.booleans(),
        told=st.booleans(),
    )
    def create(
        self,
        n: int,
        status: TaskStatus,
        needs: Requirement,
        priority: int,
        at_ms: int,
        until_ms: int,
        keyed: bool,
        told: bool,
    ) -> None:
        """A new task, with the beginning of its story or without."""
        if task_id(n) not in self.tasks:
            spec: dict[str, Any] = {
                "priority": priority,
                "idempotency_key": f"key-{n}" if keyed else "",
                "labels": {"parity": str(n % 2)},
            }
            task = make_task(n, status, needs=needs, at_ms=at_ms, until_ms=until_ms, **spec)
            story = [change(0)] if told else []
            self.do(lambda store: tell(store, task, *story))
            self.has(task)
            self.stories[task.id] = story

    @rule(n=NUMBERS, status=STATUSES)
    def move(self, n: int, status: TaskStatus) -> None:
        task = self.own(n)
        if task is not None:
            self.put(moved(task, status))

    @rule(n=NUMBERS, at_ms=st.integers(1, 9), until_ms=st.integers(0, 4))
    def requeue(self, n: int, at_ms: int, until_ms: int) -> None:
        task = self.tasks.get(task_id(n))
        if task is not None and task.status is TaskStatus.RUNNING:
            self.put(replace(requeued(task, at_ms), expires_at_ms=until_ms))

    @rule(needs=st.lists(REQUIREMENTS, min_size=1, max_size=4), limit=st.integers(0, 6))
    def claim_next(self, needs: list[Requirement], limit: int) -> None:
        taken = self.do(lambda store: claim(store, *needs, limit=limit))
        assert taken == [task.id for task in self.waiting(*needs)[:limit]]
        self.claimed.update(taken)

    def expiring(self) -> list[Task]:
        """Who waits, but not for ever, the first to expire first."""
        waiting = (task for task in self.waiting(GENERAL, TRIAGE, ON_GPU) if task.expires_at_ms)
        return sorted(waiting, key=lambda task: (task.expires_at_ms, task.id))

    def next_ms(self) -> int:
        return next((task.expires_at_ms for task in self.expiring()), 0)

    @rule(until_ms=st.integers(0, 4), limit=st.integers(0, 4))
    def claim_those_that_expired(self, until_ms: int, limit: int) -> None:
        expected = [task.id for task in self.expiring() if task.expires_at_ms <= until_ms][:limit]
        self.claimed.update(expected)
        taken = self.do(lambda store: claim_expired(store, until_ms, limit))
        assert taken == (expected, self.next_ms())

    @rule(n=NUMBERS)
    def claim_one(self, n: int) -> None:
        task = self.tasks.get(task_id(n))
        answer = self.do(lambda store: claim_task(store, task_id(n)))
        assert answer.task == task
        assert answer.owned is (task is not None and task in self.waiting(task.requirement))
        if answer.owned:
            self.claimed.add(task_id(n))

    @rule(n=NUMBERS, contents=st.lists(st.text(max_size=2), max_size=3))
    def go_on(self, n: int, contents: list[str]) -> None:
        task = self.own(n)
        if task is not None:
            story = self.stories.setdefault(task.id, [])
            seq = story[-1].next_seq if story else 1
            entry = output(seq, *contents) if contents else change(seq)
            self.do(lambda store: tell(store, task, entry))
            self.claimed.discard(task.id)
            story.append(entry)

    @rule(n=NUMBERS, new=NUMBERS, seq=st.integers(0, 12))
    def tell_what_does_not_follow(self, n: int, new: int, seq: int) -> None:
        """A story of no task, with a gap or begun again is refused in the same words, with all else in the batch."""
        task, story = self.tasks.get(task_id(n)), self.stories.get(task_id(n))
        follows = story[-1].next_seq == seq if story else seq > 0
        if n == new or task_id(new) in self.tasks or (task is not None and (follows or not self.own(n))):
            return
        batch = Batch({task_id(new): make_task(new)}, {task_id(new): [change(0)], task_id(n): [change(seq)]})

        async def refusal(store: Store) -> str:
            with pytest.raises(StoreFailed) as caught:
                await store.commit(batch)
            return caught.value.message

        assert task_id(n) in self.do(refusal)

    @rule(n=NUMBERS, from_seq=st.integers(0, 12), limit=st.integers(1, 4))
    def read_story(self, n: int, from_seq: int, limit: int) -> None:
        async def part(store: Store) -> list[StoryEntry]:
            return list(await store.story(task_id(n), from_seq, limit))

        whole = self.stories.get(task_id(n), [])
        expected = [entry.since(from_seq) for entry in whole if entry.next_seq > from_seq][:limit]
        assert self.do(part) == expected

    @rule(
        status=st.none() | STATUSES,
        agent=st.sampled_from(["", "general", "triage", "other"]),
        labels=st.sampled_from([{}, {"parity": "1"}]),
        limit=st.integers(1, 8),
    )
    def find(self, status: TaskStatus | None, agent: str, labels: dict[str, str], limit: int) -> None:
        def matches(task: Task) -> bool:
            spec = task.spec
            return status in (None, task.status) and agent in ("", spec.agent) and labels.items() <= spec.labels.items()

        query, found = TaskQuery(status, agent, labels, limit), list[Task]()
        while True:
            page = self.do(partial(_page, query))
            found += page.tasks
            if not page.next_page_token:
                break
            assert len(page.tasks) == limit
            query = replace(query, page_token=page.next_page_token)
        assert found == sorted(filter(matches, self.tasks.values()), key=lambda task: task.id, reverse=True)

    @rule(n=NUMBERS, since_ms=st.integers(0, 6))
    def look_up(self, n: int, since_ms: int) -> None:
        task = self.tasks.get(task_id(n))
        known = task is not None and task.spec.idempotency_key and task.created_at_ms >= since_ms
        assert self.do(lambda store: find_key(store, "ann", f"key-{n}", since_ms)) == (task if known else None)

    @rule(n=NUMBERS, most=st.integers(0, 4))
    def find_place(self, n: int, most: int) -> None:
        task = self.tasks.get(task_id(n))
        line = self.waiting(task.requirement) if task else []
        expected = min(line.index(task), most) if task in line else None
        assert self.do(lambda store: store.ahead(task_id(n), most)) == expected

    @rule()
    def prune(self) -> None:
        removed = self.do(lambda store: store.prune(Retention(1, 0, 10), 100))
        gone = [task for task in self.tasks.values() if task.status.is_terminal]
        assert removed == Counter(task.status for task in gone)
        for task in gone:
            del self.tasks[task.id]
            self.stories.pop(task.id, None)

    @rule()
    def restart(self) -> None:
        self.close()
        self.stores[1:] = self.opened()
        self.recover()

    @rule()
    def recover(self) -> None:
        recovery = self.do(lambda store: store.recover())
        self.claimed.clear()
        running = sorted((t for t in self.tasks.values() if t.status is TaskStatus.RUNNING), key=lambda task: task.id)
        assert list(recovery.active) == running
        statuses = [task.status for task in self.tasks.values()]
        assert recovery.counts == {status: statuses.count(status) for status in TaskStatus}
        assert recovery.expires_at_ms == self.next_ms()

    @invariant()
    def the_backlog_is_what_waits(self) -> None:
        expected = {}
        for needs in (GENERAL, TRIAGE, ON_GPU):
            if waiting := self.waiting(needs):
                oldest = min(task.runs[-1].finished_at_ms if task.runs else task.created_at_ms for task in waiting)
                expected[needs] = Backlog(len(waiting), oldest)
        assert self.do(lambda store: store.backlog()) == expected


@pytest.mark.timeout(300)
def test_the_stores_agree(request: pytest.FixtureRequest) -> None:
    databases = request.getfixturevalue("databases") if programs() else None
    url = databases.new() if databases else ""

    class Model(StoreModel):
        def __init__(self) -> None:
            self.url = url
            if databases:
                databases.clear(url)
            super().__init__()

    run_state_machine_as_test(Model, settings=settings(max_examples=80, stateful_step_count=40, deadline=None))
