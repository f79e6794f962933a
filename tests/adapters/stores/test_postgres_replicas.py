"""Several stores on one database, as several control planes have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from taskrun.adapters.stores.postgres import owners
from taskrun.adapters.stores.postgres.care import check
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.domain.errors import LeaseLost, Overruled, StoreFailed
from taskrun.domain.records import Requirement, Task, TaskQuery
from taskrun.ports.peers import Call
from taskrun.ports.store import Backlog, Batch, CancelRelayed, ClaimNext, Disowned, RelayCancel, TasksClaimed
from taskrun.testing.contracts.peers_cases import Ear, claim_runs, inherit
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    TRIAGE,
    change,
    claim,
    claim_task,
    ids,
    make_task,
    moved,
    requeued,
    save,
    task_id,
    tell,
)
from tests.postgres import Proxy

Open = Callable[..., PostgresStore]


@pytest.fixture
async def opened(emptied_url: str) -> AsyncIterator[Open]:
    """Makes a control plane's store, on this test's database or by another way to it."""
    stores: list[PostgresStore] = []

    def opened(url: str = emptied_url) -> PostgresStore:
        stores.append(PostgresStore(Database(url)))
        return stores[-1]

    yield opened
    for store in stores:
        await store.close()
    # These tests end tasks without a word in their stories.
    assert [each for each in check(emptied_url) if not each.endswith("and its story has not.")] == []


@pytest.fixture
async def a(opened: Open) -> PostgresStore:
    store = opened()
    await store.recover()
    return store


@pytest.fixture
async def b(a: PostgresStore, opened: Open) -> PostgresStore:
    store = opened()
    await store.recover()
    return store


@pytest.fixture
def silence(emptied_url: str) -> Callable[[], None]:
    """The one that began first has said nothing for longer than its lease."""

    def silence() -> None:
        with psycopg.connect(emptied_url, autocommit=True) as admin:
            admin.execute(
                "UPDATE owners SET lease_until = now() - interval '1 s' WHERE number = (SELECT min(number) FROM owners)"
            )

    return silence


async def test_many_that_claim_at_once_share_the_queue_without_a_task_twice(
    a: PostgresStore, b: PostgresStore, opened: Open
) -> None:
    stores = [a, b, opened()]
    for begin in range(0, 600, 100):
        await save(a, *(make_task(n, needs=TRIAGE if n % 3 else GENERAL) for n in range(begin, begin + 100)))
    taken: list[str] = []

    async def work(store: PostgresStore) -> None:
        while True:
            asks = [ClaimNext(None, (GENERAL, TRIAGE), 7), ClaimNext(None, (TRIAGE,), 3)]
            answers = await store.commit(Batch(asks=[*asks]))
            tasks = [task for each in answers if isinstance(each, TasksClaimed) for task in each.tasks]
            if not tasks and not await store.backlog():
                return
            taken.extend(task.id for task in tasks)
            await save(store, *(replace(moved(task, COMPLETED), finished_at_ms=9) for task in tasks))

    await asyncio.gather(*map(work, stores))
    assert sorted(taken) == ids(*range(600))


async def test_who_begins_leaves_what_the_living_have(a: PostgresStore, opened: Open) -> None:
    await save(a, make_task(1), make_task(2), make_task(3, RUNNING))
    assert await claim(a, limit=1) == ids(1)
    recovery = await opened().recover()
    assert recovery.active == ()
    assert recovery.backlog == {GENERAL: Backlog(1, 1002)}
    assert recovery.counts[RUNNING] == 1
    await save(a, moved(make_task(1), RUNNING))


async def test_who_says_nothing_for_the_time_of_a_lease_is_taken_for_dead_and_hears_it(
    a: PostgresStore, b: PostgresStore, silence: Callable[[], None]
) -> None:
    await save(a, make_task(1), make_task(3, RUNNING))
    assert await claim(a) == ids(1)
    silence()
    assert list(await inherit(b)) == [make_task(3, RUNNING)]
    with pytest.raises(StoreFailed, match="has taken over"):
        await save(a, moved(make_task(3), COMPLETED))
    with pytest.raises(StoreFailed, match="has taken over"):
        await a.commit(Batch(asks=[ClaimNext(None, (GENERAL,), 1)]))
    with pytest.raises(StoreFailed, match="has taken over"):
        await a.peers.meet([])
    assert await a.get(task_id(3)) == make_task(3, RUNNING)


async def test_what_one_had_whose_process_is_gone_another_has_at_the_next_meeting(
    a: PostgresStore, b: PostgresStore, emptied_url: str
) -> None:
    await save(a, make_task(1, RUNNING))
    with psycopg.connect(emptied_url, autocommit=True) as admin:
        first = "locktype = 'advisory' AND objid::int8 = (SELECT min(number) FROM owners)"
        [ended] = admin.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE {first}".encode())
    assert ended == (True,)
    assert list(await inherit(b)) == [make_task(1, RUNNING)]
    with pytest.raises(StoreFailed):
        await save(a, moved(make_task(1, RUNNING), COMPLETED))
    with pytest.raises(LeaseLost):
        await save(a, moved(make_task(1, RUNNING), COMPLETED))


async def test_who_ends_lets_others_take_over_at_once_though_its_connection_is_still_there(
    a: PostgresStore, opened: Open
) -> None:
    await save(a, make_task(1, RUNNING))
    await a.peers.leave()
    assert (await opened().recover()).active == (make_task(1, RUNNING),)


async def test_a_lease_is_renewed_by_inheriting(
    a: PostgresStore, b: PostgresStore, silence: Callable[[], None]
) -> None:
    await save(a, make_task(3, RUNNING))
    silence()
    assert list(await inherit(a)) == []
    assert list(await inherit(b)) == []
    await save(a, moved(make_task(3), COMPLETED))


async def test_of_several_that_inherit_at_once_one_does(a: PostgresStore, b: PostgresStore, opened: Open) -> None:
    others = [b, *(opened() for _ in range(3))]
    for store in others[1:]:
        await store.recover()
    for n in range(50):
        await save(a, make_task(n, RUNNING))
    await a.close()
    inherited = await asyncio.gather(*map(inherit, others))
    assert sorted(len(tasks) for tasks in inherited) == [0, 0, 0, 50]


async def test_nobody_takes_over_from_who_commits_at_this_moment(
    a: PostgresStore, b: PostgresStore, silence: Callable[[], None], emptied_url: str
) -> None:
    """What it stores then would have an owner that is gone, from which nobody inherits any more."""
    await save(a, make_task(1))
    async with await psycopg.AsyncConnection.connect(emptied_url) as other:
        await other.execute("SELECT FROM tasks FOR UPDATE")
        commit = asyncio.create_task(save(a, moved(make_task(1), RUNNING)))
        await _until_somebody_waits(emptied_url)
        silence()
        assert list(await inherit(b)) == []
        await other.rollback()
    await commit
    assert list(await inherit(b)) == [moved(make_task(1), RUNNING)]


async def test_what_another_gave_back_is_left_alone_while_it_waits_and_when_a_third_has_it(
    a: PostgresStore, b: PostgresStore, opened: Open
) -> None:
    await tell(a, make_task(1, RUNNING), change(0))
    await claim_runs(b)
    await tell(b, requeued(make_task(1, RUNNING), 7), change(1))
    stale = Batch({task_id(1): moved(make_task(1), COMPLETED)}, {task_id(1): [change(1)]})
    assert list(await a.commit(stale)) == [Disowned((task_id(1),))]
    assert await b.get(task_id(1)) == requeued(make_task(1, RUNNING), 7)
    third = opened()
    await third.recover()
    assert await claim(third) == ids(1)
    assert list(await a.commit(stale)) == [Disowned((task_id(1),))]


async def test_who_was_taken_for_dead_begins_again_under_a_new_number(
    a: PostgresStore, b: PostgresStore, silence: Callable[[], None]
) -> None:
    await save(a, make_task(3, RUNNING))
    silence()
    await inherit(b)
    with pytest.raises(LeaseLost):
        await a.peers.meet([])
    assert (await a.recover()).active == ()
    await save(a, make_task(4))
    assert await claim(a) == ids(4)
    assert not (await a.peers.meet([])).inherited


async def test_a_task_that_another_is_claiming_at_this_moment_is_elsewhere(a: PostgresStore, emptied_url: str) -> None:
    await save(a, make_task(1))
    with psycopg.connect(emptied_url) as other:
        other.execute("SELECT FROM tasks FOR UPDATE")
        claimed = await claim_task(a, task_id(1))
        assert (claimed.owned, claimed.elsewhere) == (False, True)
    assert (await claim_task(a, task_id(1))).owned


async def test_of_a_cancel_and_an_end_at_the_same_moment_the_second_knows_of_the_first(
    a: PostgresStore, b: PostgresStore, opened: Open
) -> None:
    """Each of them is right by itself; both cannot be: who was told that it is cancelled, and how it ended."""
    third = opened()
    await third.recover()
    tasks = [make_task(n, RUNNING) for n in range(200)]
    await save(a, *tasks)
    asks = [RelayCancel(task.id) for task in tasks]
    told: set[str] = set()
    ended: set[str] = set()

    async def relay(store: PostgresStore, asks: list[RelayCancel]) -> None:
        for ask in asks:
            [answer] = await store.commit(Batch(asks=[ask]))
            assert isinstance(answer, CancelRelayed)
            assert answer.task is not None
            if not answer.task.status.is_terminal:
                told.add(ask.task_id)

    async def end() -> None:
        for task in tasks:
            try:
                await save(a, replace(moved(task, COMPLETED), finished_at_ms=9))
                ended.add(task.id)
            except Overruled:
                pass

    # One goes the other way, so that both come first, and all meet.
    await asyncio.gather(relay(b, asks), relay(third, asks[::-1]), end())
    assert told | ended == {task.id for task in tasks}
    assert not told & ended


async def test_many_that_make_tasks_with_one_key_at_once_make_one(
    a: PostgresStore, b: PostgresStore, opened: Open
) -> None:
    stores = [a, b, opened()]
    await asyncio.gather(
        *(
            save(store, make_task(3 * n + at, idempotency_key=f"k{n}"))
            for n in range(30)
            for at, store in enumerate(stores)
        )
    )
    page = await a.find(TaskQuery(limit=100))
    assert len({task.spec.idempotency_key for task in page.tasks}) == len(page.tasks) == 30


# Calls.


async def test_who_does_not_know_whether_it_has_taken_over_begins_again(
    a: PostgresStore, opened: Open, emptied_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(a, make_task(1, RUNNING))
    # It blocks, and the proxy is in this loop.
    b = await asyncio.to_thread(opened, proxy.url(emptied_url))
    await b.recover()
    await a.close()
    real = owners.take_over

    async def take_over(*args: Any) -> tuple[Task, ...]:
        taken = await real(*args)
        proxy.deaf_after = b"COMMIT"
        return taken

    monkeypatch.setattr(owners, "take_over", take_over)
    with pytest.raises(LeaseLost):
        await b.peers.meet([])
    monkeypatch.undo()
    proxy.deaf_after = b""
    assert proxy.cut_so_far == 1
    assert (await b.recover()).active == (make_task(1, RUNNING),)


@pytest.fixture
async def ear(a: PostgresStore, b: PostgresStore) -> AsyncIterator[Ear]:
    """One that listens, was told so, and is known to the other."""
    await a.peers.meet([])
    ear = Ear(b)
    await ear.next()
    yield ear
    await ear.close()


async def test_a_call_is_as_long_as_it_may_be_and_what_is_longer_is_for_a_meeting(a: PostgresStore, ear: Ear) -> None:
    many = [make_task(n, RUNNING) for n in range(500)]
    await a.commit(Batch({each.id: each for each in many}, {each.id: [change(0)] for each in many}))
    told = [await ear.next() for _ in range(3)]
    assert sorted(each for call in told for each in call.stories) == ids(*range(500))
    needs = Requirement("general", tuple((f"{n}", "x" * 250) for n in range(60)))
    await save(a, make_task(900, needs=needs))
    assert await ear.next() == Call(meet=True)


async def test_who_is_alone_calls_nobody(a: PostgresStore, opened: Open, emptied_url: str) -> None:
    await a.peers.meet([])
    listener = opened()
    calls = listener.peers.calls()
    await anext(calls)
    await tell(a, make_task(1), change(0))
    await listener.recover()
    # It would have come before: nobody hears itself.
    second = opened()
    await second.recover()
    assert await anext(calls) == Call(meet=True)


async def test_nonsense_on_the_channel_is_passed_over(a: PostgresStore, ear: Ear, emptied_url: str) -> None:
    with psycopg.connect(emptied_url, autocommit=True) as other:
        other.execute("NOTIFY taskrun, 'nonsense'")
    await a.recover()
    assert await ear.next() == Call(meet=True)


async def test_who_can_hear_no_more_says_so(a: PostgresStore, ear: Ear, emptied_url: str) -> None:
    with psycopg.connect(emptied_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    with pytest.raises(StoreFailed):
        await ear.next()


async def test_of_two_that_wait_for_each_other_the_one_that_is_ended_does_its_work_again(
    a: PostgresStore, emptied_url: str
) -> None:
    await save(a, make_task(1), make_task(2))
    lock = "SELECT id FROM tasks WHERE id = %s FOR UPDATE"
    async with await psycopg.AsyncConnection.connect(emptied_url, options="-c deadlock_timeout=20s") as other:
        await other.execute(lock, [task_id(2)])
        commit = asyncio.create_task(save(a, moved(make_task(1), COMPLETED), moved(make_task(2), COMPLETED)))
        # It has the first, waits for the second, and is the one that looks for a deadlock.
        await other.execute("SET lock_timeout = '9s'")
        await _until_somebody_waits(emptied_url)
        await other.execute(lock, [task_id(1)])
        await other.commit()
    await commit
    assert [(await a.get(each)).status for each in ids(1, 2)] == [COMPLETED] * 2  # type: ignore[union-attr]


async def _until_somebody_waits(emptied_url: str) -> None:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(emptied_url, autocommit=True) as connection:
        while (await (await connection.execute(waits)).fetchall()) == [(0,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # another process decides
