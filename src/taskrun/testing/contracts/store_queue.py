"""How tasks leave the queue: by their place in it, or by their id."""

from __future__ import annotations

from taskrun.domain.records import Requirement, Share
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, ClaimNext, ClaimTask, Store, TaskClaimed, TasksClaimed
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    ON_GPU,
    PENDING,
    RUNNING,
    TRIAGE,
    claim,
    claim_task,
    ids,
    make_task,
    moved,
    requeued,
    save,
    task_id,
)

ANNS: Share = (("client", "ann"),)
BOBS: Share = (("client", "bob"), ("label:team", "blue"))


def of(share: Share) -> Requirement:
    """The line of those of this share."""
    return GENERAL._replace(share=share)


class ClaimNextContract:
    """Tasks that wait go out by requirement, priority and age, each to one claim."""

    async def test_a_pending_task_is_claimed_as_it_was_saved(self, store: Store) -> None:
        task = make_task(1, labels={"team": "blue"})
        await save(store, task)
        ask = ClaimNext(("any", "ref"), (GENERAL,), 5)
        assert list(await store.commit(Batch(asks=[ask]))) == [TasksClaimed(ask, (task,))]

    async def test_nothing_is_claimed_from_an_empty_queue(self, store: Store) -> None:
        assert await claim(store, GENERAL) == []

    async def test_a_claim_without_requirements_takes_nothing(self, store: Store) -> None:
        await save(store, make_task(1))
        [answer] = await store.commit(Batch(asks=[ClaimNext(None, (), 5)]))
        assert isinstance(answer, TasksClaimed)
        assert answer.tasks == ()

    async def test_a_task_for_another_agent_is_not_claimed(self, store: Store) -> None:
        await save(store, make_task(1, needs=TRIAGE))
        assert await claim(store, GENERAL) == []

    async def test_a_task_with_another_selector_is_not_claimed(self, store: Store) -> None:
        await save(store, make_task(1, needs=ON_GPU), make_task(2))
        assert await claim(store, GENERAL) == ids(2)
        assert await claim(store, Requirement("general", (("gpu", "no"),))) == []
        assert await claim(store, ON_GPU) == ids(1)

    async def test_the_highest_priority_goes_first(self, store: Store) -> None:
        await save(store, make_task(1, priority=-5), make_task(2), make_task(3, priority=7))
        assert await claim(store) == ids(3, 2, 1)

    async def test_of_equal_priority_the_oldest_goes_first(self, store: Store) -> None:
        for n in (2, 3, 1):
            await save(store, make_task(n))
        assert await claim(store) == ids(1, 2, 3)

    async def test_several_requirements_are_one_queue(self, store: Store) -> None:
        await save(store, make_task(1, needs=TRIAGE), make_task(2), make_task(3, needs=ON_GPU), make_task(4))
        await save(store, make_task(5, needs=ON_GPU, priority=1), make_task(6, needs=Requirement("other"), priority=9))
        assert await claim(store, GENERAL, TRIAGE, ON_GPU) == ids(5, 1, 2, 3, 4)

    async def test_a_requirement_named_twice_changes_nothing(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2))
        assert await claim(store, GENERAL, GENERAL) == ids(1, 2)

    async def test_a_claim_takes_no_more_than_its_limit(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(5)))
        assert await claim(store, limit=2) == ids(0, 1)
        assert await claim(store, limit=0) == []
        assert await claim(store, limit=9) == ids(2, 3, 4)

    async def test_a_claimed_task_is_not_claimed_again(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await claim(store) == ids(1)
        assert await claim(store) == []

    async def test_claims_of_one_batch_share_the_queue(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(3)))
        first, second = (ClaimNext(ref, (GENERAL,), 2) for ref in ("first", "second"))
        assert list(await store.commit(Batch(asks=[first, second]))) == [
            TasksClaimed(first, (make_task(0), make_task(1))),
            TasksClaimed(second, (make_task(2),)),
        ]

    async def test_a_claim_sees_the_tasks_of_its_own_batch(self, store: Store) -> None:
        task, ask = make_task(1), ClaimNext(None, (GENERAL,), 1)
        assert list(await store.commit(Batch({task.id: task}, asks=[ask]))) == [TasksClaimed(ask, (task,))]

    async def test_a_task_that_runs_from_the_start_never_waits(self, store: Store) -> None:
        await save(store, make_task(1, RUNNING))
        assert await claim(store) == []

    async def test_a_task_saved_as_running_has_left_the_queue(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2))
        await save(store, moved(make_task(1), RUNNING))
        assert await claim(store) == ids(2)

    async def test_a_task_saved_as_ended_has_left_the_queue(self, store: Store) -> None:
        await save(store, make_task(1))
        await save(store, moved(make_task(1), TaskStatus.CANCELLED))
        assert await claim(store) == []

    async def test_a_claimed_task_saved_as_pending_waits_again(self, store: Store) -> None:
        await save(store, make_task(1))
        await claim(store)
        await save(store, make_task(1))
        assert await claim(store) == ids(1)

    async def test_a_task_given_back_keeps_its_place(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3))
        await claim(store, limit=2)
        await save(store, make_task(2))
        assert await claim(store) == ids(2, 3)

    async def test_a_task_given_back_can_be_claimed_in_the_same_batch(self, store: Store) -> None:
        await save(store, make_task(1))
        await claim(store)
        ask = ClaimNext(None, (GENERAL,), 1)
        batch = Batch({task_id(1): make_task(1)}, asks=[ask])
        assert list(await store.commit(batch)) == [TasksClaimed(ask, (make_task(1),))]

    async def test_a_waiting_task_saved_again_waits_once(self, store: Store) -> None:
        await save(store, make_task(1))
        await save(store, make_task(1))
        assert await claim(store) == ids(1)

    async def test_a_task_that_ran_and_waits_again_keeps_its_place(self, store: Store) -> None:
        await save(store, make_task(1, RUNNING), make_task(2))
        await save(store, requeued(make_task(1, RUNNING), at_ms=9000))
        assert await claim(store) == ids(1, 2)

    async def test_each_of_many_tasks_goes_out_once(self, store: Store) -> None:
        needs = (GENERAL, TRIAGE, ON_GPU)
        await save(store, *(make_task(n, needs=needs[n % 3], priority=n % 5) for n in range(300)))
        taken: list[str] = []
        while got := await claim(store, needs[len(taken) % 3], needs[len(taken) % 2], limit=7):
            taken += got
        taken += await claim(store, *needs, limit=300)
        assert sorted(taken) == ids(*range(300))


class ShareContract:
    """Tasks of different shares wait in lines of their own."""

    async def test_a_claim_takes_only_from_the_lines_that_it_names(self, store: Store) -> None:
        await save(store, make_task(1, share=ANNS), make_task(2, share=BOBS), make_task(3))
        assert await claim(store, of(ANNS)) == ids(1)
        assert await claim(store, GENERAL) == ids(3)
        assert await claim(store, of(ANNS), of(BOBS)) == ids(2)

    async def test_a_share_is_kept(self, store: Store) -> None:
        task = make_task(1, share=ANNS, ageing=60)
        await save(store, task)
        assert await store.get(task.id) == task
        [answer] = await store.commit(Batch(asks=[ClaimNext(None, (of(ANNS),), 1)]))
        assert isinstance(answer, TasksClaimed)
        assert answer.tasks == (task,)

    async def test_what_waits_is_counted_by_share(self, store: Store) -> None:
        await save(store, make_task(1, share=ANNS), make_task(2, share=BOBS), make_task(3, share=BOBS))
        expected = {of(ANNS): Backlog(1, 1001), of(BOBS): Backlog(2, 1002)}
        assert dict(await store.backlog()) == expected
        assert dict((await store.recover()).backlog) == expected

    async def test_a_task_of_a_share_is_claimed_by_its_id_and_waits_again(self, store: Store) -> None:
        await save(store, make_task(1, share=ANNS))
        assert (await claim_task(store, task_id(1))).owned
        assert await claim(store, of(ANNS)) == []
        await save(store, make_task(1, share=ANNS))
        assert await claim(store, of(ANNS)) == ids(1)

    async def test_age_makes_up_for_priority_as_the_task_says(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100_000, ageing=60), make_task(2, at_ms=200_000, ageing=60, priority=1))
        await save(store, make_task(3, at_ms=150_000, ageing=60), make_task(4, at_ms=200_000, priority=1))
        assert await claim(store) == ids(4, 1, 2, 3)


class ClaimTaskContract:
    """One task can be taken out of the queue by its id."""

    async def test_a_waiting_task_is_taken(self, store: Store) -> None:
        task = make_task(1)
        await save(store, task)
        assert await claim_task(store, task.id) == TaskClaimed(ClaimTask(task.id), task, owned=True)
        assert await claim(store) == []

    async def test_the_others_still_wait(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(4)))
        await claim_task(store, task_id(1))
        assert await claim(store) == ids(0, 2, 3)

    async def test_an_unknown_task_is_none(self, store: Store) -> None:
        assert await claim_task(store, task_id(1)) == TaskClaimed(ClaimTask(task_id(1)), None, owned=False)

    async def test_a_task_that_does_not_wait_is_shown_but_not_taken(self, store: Store) -> None:
        for n, status in enumerate(TaskStatus):
            if status is not PENDING:
                task = make_task(n, status)
                await save(store, task)
                assert await claim_task(store, task.id) == TaskClaimed(ClaimTask(task.id), task, owned=False)

    async def test_a_claimed_task_is_not_taken_again(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2))
        await claim(store, limit=1)
        assert not (await claim_task(store, task_id(1))).owned
        assert (await claim_task(store, task_id(2))).owned
        assert not (await claim_task(store, task_id(2))).owned

    async def test_a_task_given_back_can_be_taken_again(self, store: Store) -> None:
        await save(store, make_task(1))
        await claim_task(store, task_id(1))
        await save(store, make_task(1))
        assert (await claim_task(store, task_id(1))).owned
