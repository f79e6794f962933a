"""What every `Store` must do as a queue: who is claimed, in what order, by whom, and what waits."""

from __future__ import annotations

from dataclasses import replace

from taskrun.domain.records import Requirement, Share
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import (
    Backlog,
    Batch,
    ClaimExpired,
    ClaimNext,
    ClaimTask,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    Store,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    ON_GPU,
    PENDING,
    RUNNING,
    TRIAGE,
    claim,
    claim_expired,
    claim_task,
    find_key,
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


class ClaimExpiredContract:
    """Who has waited long enough is found by the time until which it may wait."""

    async def test_nobody_has_waited_too_long_in_an_empty_store(self, store: Store) -> None:
        assert await claim_expired(store, 10_000) == ([], 0)
        assert (await store.recover()).expires_at_ms == 0

    async def test_who_may_wait_for_ever_never_expires(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await claim_expired(store, 2**50) == ([], 0)
        assert await claim(store) == ids(1)

    async def test_the_task_comes_as_it_was_saved(self, store: Store) -> None:
        task, ask = make_task(1, until_ms=5000, labels={"team": "blue"}), ClaimExpired(5000, 1)
        await save(store, task)
        assert list(await store.commit(Batch(asks=[ask]))) == [ExpiredClaimed(ask, (task,), 0)]

    async def test_before_its_time_a_task_goes_on_waiting(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=5000))
        assert await claim_expired(store, 4999) == ([], 5000)
        assert await claim(store) == ids(1)

    async def test_the_first_to_expire_goes_first_whatever_it_needs_and_however_urgent_it_is(
        self, store: Store
    ) -> None:
        await save(store, make_task(1, until_ms=300), make_task(2, until_ms=100, needs=ON_GPU, priority=-5))
        await save(store, make_task(3, until_ms=200, priority=9), make_task(4, until_ms=400), make_task(5))
        assert await claim_expired(store, 350, limit=2) == (ids(2, 3), 300)
        assert await claim_expired(store, 350, limit=2) == (ids(1), 400)
        assert await claim(store, GENERAL, ON_GPU) == ids(4, 5)

    async def test_of_those_with_the_same_time_the_oldest_goes_first(self, store: Store) -> None:
        await save(store, make_task(2, until_ms=100, priority=1), make_task(3, until_ms=100, needs=TRIAGE))
        await save(store, make_task(1, until_ms=100))
        assert await claim_expired(store, 100, limit=2) == (ids(1, 2), 100)
        assert await claim_expired(store, 100, limit=2) == (ids(3), 0)

    async def test_nobody_is_taken_by_an_ask_for_none(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100))
        assert await claim_expired(store, 100, limit=0) == ([], 100)

    async def test_who_was_taken_out_of_the_queue_does_not_expire_in_it(self, store: Store) -> None:
        await save(store, *(make_task(n, until_ms=100) for n in range(1, 5)), make_task(5, RUNNING, until_ms=100))
        await claim(store, limit=1)
        await claim_task(store, task_id(2))
        await save(store, moved(make_task(3, until_ms=100), TaskStatus.CANCELLED))
        assert await claim_expired(store, 100) == (ids(4), 0)
        assert await claim_expired(store, 100) == ([], 0)

    async def test_who_has_expired_is_claimed(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100), make_task(2))
        await claim_expired(store, 100)
        assert dict(await store.backlog()) == {GENERAL: Backlog(1, 1002)}
        assert not (await claim_task(store, task_id(1))).owned
        assert await claim(store) == ids(2)

    async def test_who_was_claimed_and_never_saved_expires_again_after_a_restart(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100), make_task(2, until_ms=200))
        await claim_expired(store, 100)
        await claim(store)
        assert (await store.recover()).expires_at_ms == 100
        assert await claim_expired(store, 200) == (ids(1, 2), 0)

    async def test_a_task_given_back_expires_when_it_would_have(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100))
        await claim(store)
        await save(store, make_task(1, until_ms=100))
        assert await claim_expired(store, 99) == ([], 100)
        assert await claim_expired(store, 100) == (ids(1), 0)

    async def test_a_task_that_ran_expires_by_the_time_of_its_next_wait(self, store: Store) -> None:
        await save(store, make_task(1, RUNNING, until_ms=100))
        await save(store, replace(requeued(make_task(1), at_ms=500), expires_at_ms=600))
        assert await claim_expired(store, 599) == ([], 600)
        assert await claim_expired(store, 600) == (ids(1), 0)

    async def test_a_waiting_task_saved_with_another_time_has_that(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100), make_task(2, until_ms=100))
        await save(store, make_task(1), make_task(2, until_ms=300))
        assert await claim_expired(store, 299) == ([], 300)

    async def test_an_ask_sees_the_tasks_of_its_own_batch_and_what_those_before_it_left(self, store: Store) -> None:
        first, second = make_task(1, until_ms=100), make_task(2, until_ms=100)
        general, expired = ClaimNext(None, (GENERAL,), 1), ClaimExpired(100, 5)
        answers = await store.commit(Batch({first.id: first, second.id: second}, asks=[general, expired, general]))
        assert list(answers) == [
            TasksClaimed(general, (first,)),
            ExpiredClaimed(expired, (second,), 0),
            TasksClaimed(general, ()),
        ]

    async def test_each_of_many_expires_once(self, store: Store) -> None:
        await save(store, *(make_task(n, until_ms=100 + n % 7, needs=(GENERAL, TRIAGE)[n % 2]) for n in range(300)))
        taken: list[str] = []
        while (got := await claim_expired(store, 200, limit=11))[0]:
            taken += got[0]
        assert taken == sorted(ids(*range(300)), key=lambda each: (int(each[-3:], 16) % 7, each))


class BacklogContract:
    """What waits is known by requirement."""

    async def test_nothing_waits_in_an_empty_store(self, store: Store) -> None:
        assert dict(await store.backlog()) == {}

    async def test_what_waits_is_counted_by_requirement(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3, needs=ON_GPU), make_task(4, RUNNING, needs=TRIAGE))
        assert dict(await store.backlog()) == {GENERAL: Backlog(2, 1001), ON_GPU: Backlog(1, 1003)}

    async def test_what_was_taken_does_not_wait(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3), make_task(4, needs=TRIAGE))
        await claim(store, limit=1)
        await claim_task(store, task_id(4))
        await save(store, moved(make_task(2), RUNNING))
        assert dict(await store.backlog()) == {GENERAL: Backlog(1, 1003)}

    async def test_the_oldest_is_the_one_that_waits_longest_whatever_its_priority(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=700), make_task(2, at_ms=500, priority=-1), make_task(3, at_ms=600))
        assert await store.backlog() == {GENERAL: Backlog(3, 500)}
        await claim_task(store, task_id(2))
        assert await store.backlog() == {GENERAL: Backlog(2, 600)}

    async def test_a_task_that_ran_waits_since_its_run_ended(self, store: Store) -> None:
        await save(store, make_task(1, RUNNING, at_ms=100), make_task(2, at_ms=800))
        await save(store, requeued(make_task(1, RUNNING, at_ms=100), at_ms=900))
        assert await store.backlog() == {GENERAL: Backlog(2, 800)}
        await claim_task(store, task_id(2))
        assert await store.backlog() == {GENERAL: Backlog(1, 900)}

    async def test_what_a_task_waited_before_its_run_does_not_count(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100), make_task(2, at_ms=200), make_task(3, at_ms=500))
        await claim_task(store, task_id(2))
        await save(store, requeued(make_task(2, at_ms=200), at_ms=900))
        await claim_task(store, task_id(1))
        assert await store.backlog() == {GENERAL: Backlog(2, 500)}

    async def test_a_task_given_back_waits_as_long_as_before(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100), make_task(2, at_ms=200))
        await claim(store, limit=1)
        await save(store, make_task(1, at_ms=100))
        assert await store.backlog() == {GENERAL: Backlog(2, 100)}


class AheadContract:
    """A task's place in the queue is known by how many go before it."""

    async def test_nobody_goes_before_the_only_one(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await store.ahead(task_id(1), 10) == 0

    async def test_who_is_older_or_more_urgent_goes_before(self, store: Store) -> None:
        await save(store, make_task(1, priority=-5), make_task(2), make_task(3, priority=7), make_task(4))
        assert [await store.ahead(each, 10) for each in ids(3, 2, 4, 1)] == [0, 1, 2, 3]

    async def test_who_needs_something_else_is_not_counted(self, store: Store) -> None:
        await save(store, make_task(1, needs=ON_GPU), make_task(2, needs=TRIAGE), make_task(3), make_task(4))
        assert await store.ahead(task_id(4), 10) == 1

    async def test_no_more_are_counted_than_was_asked_for(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(9)))
        assert [await store.ahead(task_id(8), most) for most in (0, 3, 8, 9)] == [0, 3, 8, 8]

    async def test_who_was_taken_out_of_the_queue_is_not_counted_and_has_no_place(self, store: Store) -> None:
        await save(store, *(make_task(n, until_ms=100 if n == 2 else 0) for n in range(6)), make_task(6, RUNNING))
        await claim(store, limit=1)
        await claim_task(store, task_id(1))
        await claim_expired(store, 100)
        await save(store, moved(make_task(3), TaskStatus.CANCELLED))
        assert await store.ahead(task_id(5), 10) == 1
        assert [await store.ahead(each, 10) for each in ids(0, 1, 2, 3, 6)] == [None] * 5

    async def test_a_task_given_back_has_its_old_place(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3))
        await claim(store, limit=2)
        await save(store, make_task(1), make_task(2))
        assert [await store.ahead(each, 10) for each in ids(1, 2, 3)] == [0, 1, 2]

    async def test_an_unknown_task_has_no_place(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await store.ahead(task_id(2), 10) is None
        assert await store.ahead("\0", 10) is None

    async def test_places_are_the_order_of_going_out(self, store: Store) -> None:
        await save(store, *(make_task(n, priority=n * 7 % 5) for n in range(60)))
        for n in range(0, 60, 3):
            await claim_task(store, task_id(n))
        await save(store, *(make_task(n, priority=n * 7 % 5) for n in range(0, 60, 6)))
        places = {each: await store.ahead(each, 100) for each in ids(*range(60))}
        order = await claim(store)
        assert [places[each] for each in order] == list(range(len(order)))


class FindKeyContract:
    """A caller's idempotency key leads to the task that it made."""

    async def test_a_key_leads_to_its_task_as_it_now_is(self, store: Store) -> None:
        task = make_task(1, idempotency_key="k")
        await save(store, task)
        assert await find_key(store, "ann", "k") == task
        await save(store, moved(task, COMPLETED))
        assert await find_key(store, "ann", "k") == moved(task, COMPLETED)

    async def test_an_unknown_key_leads_nowhere(self, store: Store) -> None:
        await save(store, make_task(1, idempotency_key="k"), make_task(2))
        assert await find_key(store, "ann", "other") is None

    async def test_a_key_is_its_callers_own(self, store: Store) -> None:
        await save(store, make_task(1, by="ann", idempotency_key="k"), make_task(2, by="bob", idempotency_key="k"))
        assert await find_key(store, "bob", "k") == make_task(2, by="bob", idempotency_key="k")
        assert await find_key(store, "eve", "k") is None

    async def test_a_key_leads_only_to_a_task_that_is_young_enough(self, store: Store) -> None:
        task = make_task(1, at_ms=500, idempotency_key="k")
        await save(store, task)
        assert await find_key(store, "ann", "k", since_ms=501) is None
        assert await find_key(store, "ann", "k", since_ms=500) == task

    async def test_a_key_that_made_two_tasks_leads_to_the_newest(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100, idempotency_key="k"))
        await save(store, make_task(2, at_ms=900, idempotency_key="k"))
        assert await find_key(store, "ann", "k", since_ms=50) == make_task(2, at_ms=900, idempotency_key="k")

    async def test_a_key_is_known_in_the_batch_that_brings_it(self, store: Store) -> None:
        task, ask = make_task(1, idempotency_key="k"), FindKey("ann", "k", 0)
        assert list(await store.commit(Batch({task.id: task}, asks=[ask]))) == [KeyFound(ask, task)]
