"""The scheduler by itself."""

from __future__ import annotations

import pytest

from taskrun.domain.records import Requirement
from taskrun.domain.scheduler import Claim, Scheduler
from taskrun.domain.scheduling import lines as lines_module

ECHO, OTHER = Requirement("echo"), Requirement("other")
GPU = Requirement("echo", (("gpu", "yes"),))


@pytest.fixture
def scheduler() -> Scheduler[str]:
    return Scheduler()


def take_all(scheduler: Scheduler[str], requirement: Requirement) -> list[str]:
    """Every free slot, in the order in which they are given."""
    taken = []
    while (key := scheduler.place(requirement)) is not None:
        taken.append(key)
    return taken


# Placing.


def test_nobody_is_found_where_nobody_is(scheduler: Scheduler[str]) -> None:
    assert scheduler.place(ECHO) is None
    assert scheduler.waiting(ECHO) == 0


def test_the_least_loaded_goes_first_and_of_equals_the_one_that_waited_longest(scheduler: Scheduler[str]) -> None:
    for key in "abc":
        scheduler.join(key, ["echo"], {}, 2)
    assert take_all(scheduler, ECHO) == ["a", "b", "c", "a", "b", "c"]
    scheduler.release("b")
    scheduler.release("a")
    assert take_all(scheduler, ECHO) == ["b", "a"]


def test_load_counts_the_runs_of_all_agents(scheduler: Scheduler[str]) -> None:
    scheduler.join("both", ["echo", "other"], {}, 3)
    scheduler.join("one", ["echo"], {}, 3)
    assert scheduler.place(OTHER) == "both"
    assert scheduler.place(ECHO) == "one"


def test_a_selector_needs_every_label_with_its_value(scheduler: Scheduler[str]) -> None:
    scheduler.join("plain", ["echo"], {}, 1)
    scheduler.join("no", ["echo"], {"gpu": "no"}, 1)
    scheduler.join("yes", ["echo"], {"gpu": "yes", "zone": "a"}, 1)
    assert take_all(scheduler, GPU) == ["yes"]
    assert scheduler.place(Requirement("echo", (("gpu", "no"), ("zone", "a")))) is None


def test_a_newcomer_is_found_for_requirements_that_were_there_before(scheduler: Scheduler[str]) -> None:
    assert scheduler.place(GPU) is None
    scheduler.join("late", ["echo"], {"gpu": "yes"}, 1)
    assert scheduler.place(GPU) == "late"


def test_a_new_task_does_not_overtake_those_that_wait(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO)
    scheduler.join("a", ["echo"], {}, 1)
    assert scheduler.place(ECHO) is None
    assert scheduler.replace(ECHO) == "a"


def test_take_gives_a_slot_of_one_worker_only_if_it_is_known_fits_and_is_free(scheduler: Scheduler[str]) -> None:
    scheduler.join("a", ["echo"], {}, 1)
    assert not scheduler.take("unknown", ECHO)
    assert not scheduler.take("a", OTHER)
    assert not scheduler.take("a", GPU)
    assert scheduler.take("a", ECHO)
    assert not scheduler.take("a", ECHO)


# Workers.


def test_a_worker_that_is_closed_is_given_nothing_until_it_opens(scheduler: Scheduler[str]) -> None:
    scheduler.join("a", ["echo"], {}, 1)
    scheduler.offer("a", open=False)
    assert scheduler.place(ECHO) is None
    scheduler.offer("a", open=True)
    assert scheduler.place(ECHO) == "a"


def test_a_worker_that_left_is_forgotten_with_all_its_slots(scheduler: Scheduler[str]) -> None:
    scheduler.join("a", ["echo"], {}, 3)
    scheduler.place(ECHO)
    scheduler.leave("a")
    assert (scheduler.taken, scheduler.vacant) == (0, 0)
    assert scheduler.place(ECHO) is None
    scheduler.leave("a")
    scheduler.release("a")
    assert (scheduler.taken, scheduler.vacant) == (0, 0)


def test_fewer_slots_than_are_taken_only_mean_that_none_is_free(scheduler: Scheduler[str]) -> None:
    scheduler.join("a", ["echo"], {}, 3)
    assert take_all(scheduler, ECHO) == ["a"] * 3
    scheduler.resize("a", 1)
    assert (scheduler.taken, scheduler.vacant) == (3, 0)
    for _ in range(2):
        scheduler.release("a")
        assert scheduler.place(ECHO) is None
    scheduler.release("a")
    assert scheduler.place(ECHO) == "a"


# Waiting and claims.


def test_nobody_waits_less_than_not_at_all(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO, 2)
    scheduler.unwait(ECHO)
    assert scheduler.waiting(ECHO) == 1
    scheduler.unwait(ECHO, 5)
    assert scheduler.waiting(ECHO) == 0


def test_a_free_slot_that_somebody_waits_for_is_claimed_once(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO)
    scheduler.join("a", ["echo"], {}, 2)
    assert list(scheduler.claims()) == [Claim("a", (ECHO,), 1, (1,))]
    assert list(scheduler.claims()) == []


def test_a_thousand_idle_workers_and_one_waiting_task_make_one_claim(scheduler: Scheduler[str]) -> None:
    for number in range(1000):
        scheduler.join(str(number), ["echo"], {}, 1)
    scheduler.wait(ECHO)
    assert len(list(scheduler.claims())) == 1


def test_one_claim_asks_for_all_that_a_worker_can_do_and_has_room_for(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO, 2)
    scheduler.wait(OTHER, 9)
    scheduler.join("a", ["echo", "other"], {}, 5)
    [claim] = scheduler.claims()
    assert (claim.limit, sum(claim.promises)) == (5, 5)
    assert set(claim.requirements) == {ECHO, OTHER}


def test_slots_set_aside_are_not_given_away(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO)
    scheduler.join("a", ["echo", "other"], {}, 1)
    [claim] = scheduler.claims()
    assert scheduler.place(OTHER) is None
    scheduler.unwait(ECHO)
    scheduler.settle(claim)
    assert scheduler.take("a", ECHO)


def test_those_that_a_claim_is_meant_for_do_not_hold_up_a_newcomer(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO)
    scheduler.join("a", ["echo"], {}, 2)
    [_] = scheduler.claims()
    assert scheduler.place(ECHO) == "a"


def test_a_claim_that_brought_less_than_promised_is_made_again(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO, 2)
    scheduler.join("a", ["echo"], {}, 2)
    [claim] = scheduler.claims()
    scheduler.unwait(ECHO)
    scheduler.settle(claim)
    assert scheduler.take("a", ECHO)
    assert list(scheduler.claims()) == [Claim("a", (ECHO,), 1, (1,))]


def test_what_a_claim_for_a_worker_that_left_was_meant_for_is_claimed_for_another(scheduler: Scheduler[str]) -> None:
    scheduler.wait(ECHO)
    scheduler.join("a", ["echo"], {}, 1)
    [claim] = scheduler.claims()
    scheduler.leave("a")
    scheduler.join("b", ["echo"], {}, 1)
    assert list(scheduler.claims()) == []
    scheduler.settle(claim)
    assert list(scheduler.claims()) == [Claim("b", (ECHO,), 1, (1,))]


def test_waiting_tasks_beyond_the_slots_of_one_worker_are_claimed_for_the_next(scheduler: Scheduler[str]) -> None:
    for key in "abc":
        scheduler.join(key, ["echo"], {}, 2)
    scheduler.wait(ECHO, 5)
    claims = list(scheduler.claims())
    assert sorted(claim.limit for claim in claims) == [1, 2, 2]


# Memory.


def test_requirements_that_nobody_waits_for_are_forgotten_when_there_are_many(
    scheduler: Scheduler[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "_MANY_LINES", 8)
    scheduler = Scheduler()
    scheduler.join("a", ["echo"], {"n": "5"}, 2)
    kept = Requirement("echo", (("n", "kept"),))
    scheduler.wait(kept)
    for number in range(100):
        scheduler.place(Requirement("echo", (("n", str(number)),)))
        scheduler.place(Requirement(f"agent-{number}"))
    assert len(scheduler._lines) <= 9
    assert len(scheduler._seats._agents) <= 10
    assert scheduler.waiting(kept) == 1
    assert scheduler.place(ECHO) == "a"


def test_an_agent_that_nobody_offers_and_nobody_wants_is_forgotten(scheduler: Scheduler[str]) -> None:
    scheduler.join("a", ["echo", "other"], {}, 1)
    scheduler.place(ECHO)
    scheduler.leave("a")
    assert set(scheduler._seats._agents) == {"echo"}


def test_who_waited_for_a_slot_that_another_gets_is_served_elsewhere(scheduler: Scheduler[str]) -> None:
    scheduler.join("both", ["echo", "other"], {}, 1)
    scheduler.join("one", ["echo"], {}, 2)
    assert [scheduler.place(ECHO), scheduler.place(ECHO)] == ["both", "one"]
    scheduler.wait(OTHER)
    scheduler.release("both")
    assert scheduler.place(ECHO) is None
    scheduler.wait(ECHO)
    (claim,) = scheduler.claims()
    assert (claim.key, claim.promises) == ("both", (1, 0))
    # The queue gives out whoever is first, whatever was promised to whom.
    scheduler.unwait(OTHER)
    scheduler.settle(claim)
    assert scheduler.take("both", OTHER)
    assert [(claim.key, claim.requirements) for claim in scheduler.claims()] == [("one", (ECHO,))]
