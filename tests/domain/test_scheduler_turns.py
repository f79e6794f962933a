"""Turns between parties, and limits on how many run at once, in the scheduler by itself."""

from __future__ import annotations

from collections import Counter

import pytest

from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import Requirement
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.scheduling import lines as lines_module


def of(client: str, agent: str = "echo", **labels: str) -> Requirement:
    return Requirement(agent, (), (("client", client), *((f"label:{key}", each) for key, each in labels.items())))


def serve(scheduler: Scheduler[str], worker: str = "w", ends: bool = True) -> list[Requirement]:
    """All that is claimed now runs, in the order of the claims, and ends at once."""
    served: list[Requirement] = []
    for claim in list(scheduler.claims()):
        for requirement, promise in zip(claim.requirements, claim.promises, strict=True):
            served += [requirement] * promise
            scheduler.unwait(requirement, promise)
        scheduler.settle(claim)
    for requirement in served:
        assert scheduler.take(worker, requirement)
        scheduler.began(requirement)
    if ends:
        for requirement in served:
            end(scheduler, requirement, worker)
    return served


def end(scheduler: Scheduler[str], requirement: Requirement, worker: str = "w") -> None:
    scheduler.ended(requirement)
    scheduler.release(worker)


def fair(slots: int = 1, *limits: Limit, fair_by: str = "client", agents: str = "echo other") -> Scheduler[str]:
    scheduler: Scheduler[str] = Scheduler(Policy(limits, fair_by))
    scheduler.join("w", agents.split(), {}, slots)
    return scheduler


# Turns.


def test_who_waits_with_few_is_not_kept_by_anothers_many() -> None:
    scheduler = fair()
    scheduler.wait(of("many"), 10_000)
    scheduler.wait(of("few"), 10)
    served = [serve(scheduler)[0] for _ in range(20)]
    assert Counter(served) == {of("many"): 10, of("few"): 10}


def test_turns_go_round_between_all_that_wait() -> None:
    scheduler = fair()
    clients = [of(f"c{n}") for n in range(5)]
    for client in clients:
        scheduler.wait(client, 3)
    for _ in range(3):
        assert [serve(scheduler)[0] for _ in clients] == clients


def test_slots_that_are_free_at_once_are_shared_in_the_same_way() -> None:
    scheduler = fair(6)
    scheduler.wait(of("many"), 100)
    scheduler.wait(of("few"), 2)
    assert Counter(serve(scheduler)) == {of("many"): 4, of("few"): 2}


def test_who_comes_late_is_next_and_has_saved_nothing_up() -> None:
    scheduler = fair()
    scheduler.wait(of("old"), 100)
    for _ in range(50):
        serve(scheduler)
    scheduler.wait(of("late"), 100)
    assert Counter(serve(scheduler)[0] for _ in range(10)) == {of("old"): 5, of("late"): 5}


def test_who_was_served_alone_elsewhere_does_not_pay_for_it_here() -> None:
    scheduler = fair(agents="echo")
    scheduler.join("v", ["other"], {}, 1)
    scheduler.wait(of("a", "other"), 1000)
    scheduler.wait(of("b"), 10)
    for _ in range(100):
        for claim in list(scheduler.claims()):
            scheduler.unwait(claim.requirements[0])
            scheduler.settle(claim)
    scheduler.unwait(of("a", "other"), 1000)
    scheduler.wait(of("a"), 10)
    scheduler.wait(of("b"), 10)
    assert Counter(serve(scheduler)[0] for _ in range(10)) == {of("a"): 5, of("b"): 5}


def test_turns_are_shared_over_all_agents_of_a_worker() -> None:
    scheduler = fair()
    scheduler.wait(of("many"), 100)
    scheduler.wait(of("few", "other"), 5)
    assert Counter(serve(scheduler)[0] for _ in range(10)) == {of("many"): 5, of("few", "other"): 5}


def test_one_party_is_one_queue_whatever_it_needs() -> None:
    scheduler = fair(3)
    scheduler.wait(of("a"), 2)
    scheduler.wait(of("a", "other"), 9)
    [claim] = scheduler.claims()
    assert (claim.limit, set(claim.requirements)) == (3, {of("a"), of("a", "other")})


def test_turns_go_by_the_key_that_is_set() -> None:
    scheduler = fair(fair_by="label:team")
    scheduler.wait(of("a", team="red"), 10)
    scheduler.wait(of("b", team="red"), 10)
    scheduler.wait(of("a", team="blue"), 10)
    served = Counter(dict(serve(scheduler)[0].share)["label:team"] for _ in range(10))
    assert served == {"red": 5, "blue": 5}
    by_agent = fair(fair_by="agent")
    by_agent.wait(of("a"), 10)
    by_agent.wait(of("b", "other"), 10)
    assert Counter(serve(by_agent)[0].agent for _ in range(10)) == {"echo": 5, "other": 5}


def test_a_party_that_is_placed_at_once_has_had_its_turn() -> None:
    scheduler = fair(2)
    assert [scheduler.place(of("quick")), scheduler.place(of("quick"))] == ["w", "w"]
    scheduler.wait(of("quick"), 2)
    scheduler.wait(of("slow"), 2)
    scheduler.release("w")
    assert serve(scheduler) == [of("slow")]


# Limits on what runs at once.

RUNNING = Limit("client", running=2)


def test_no_more_run_than_a_limit_allows_and_the_next_when_one_ends() -> None:
    scheduler = fair(10, RUNNING)
    scheduler.wait(of("a"), 5)
    assert serve(scheduler, ends=False) == [of("a")] * 2
    assert serve(scheduler) == []
    assert scheduler.held == {"client": 3}
    end(scheduler, of("a"))
    assert serve(scheduler, ends=False) == [of("a")]
    assert scheduler.waiting(of("a")) == 2


def test_who_is_held_keeps_no_slot_from_others() -> None:
    scheduler = fair(10, RUNNING)
    scheduler.wait(of("a"), 500)
    scheduler.wait(of("b"), 1)
    assert Counter(serve(scheduler, ends=False)) == {of("a"): 2, of("b"): 1}
    assert scheduler.place(of("c")) == "w"
    assert scheduler.place(of("a")) is None


def test_each_value_has_its_own_count_and_one_value_can_have_another_limit() -> None:
    scheduler = fair(20, RUNNING, Limit("client", "big", running=5), Limit("client", "off", running=0))
    for client in ("a", "b", "big", "off"):
        scheduler.wait(of(client), 9)
    assert Counter(serve(scheduler, ends=False)) == {of("a"): 2, of("b"): 2, of("big"): 5}


def test_what_several_limits_hold_runs_when_all_of_them_have_room() -> None:
    scheduler = fair(20, RUNNING, Limit("agent", running=3), Limit("label:team", "red", running=1))
    scheduler.wait(of("a", team="red"), 5)
    scheduler.wait(of("a", team="blue"), 5)
    scheduler.wait(of("b"), 5)
    served = serve(scheduler, ends=False)
    assert Counter(dict(each.share)["client"] for each in served) == {"a": 2, "b": 1}
    assert served.count(of("a", team="red")) <= 1
    end(scheduler, of("b"))
    assert serve(scheduler, ends=False) == [of("b")]


def test_room_that_one_line_cannot_use_is_anothers() -> None:
    scheduler = fair(1, Limit("client", running=1), agents="echo")
    scheduler.wait(of("a"), 1)
    assert serve(scheduler, ends=False) == [of("a")]
    scheduler.wait(of("a", "nobody"), 1)
    scheduler.wait(of("a"), 1)
    assert serve(scheduler) == []
    end(scheduler, of("a"))
    assert serve(scheduler) == [of("a")]


def test_the_room_of_an_account_goes_round_between_workers_too() -> None:
    """Each has slots to spare, and serves one party alone: what they share is the account."""
    scheduler = fair(9, Limit("label:team", running=1), agents="echo")
    scheduler.join("v", ["other"], {}, 9)
    many, few = of("many", team="red"), of("few", "other", team="red")
    workers = {many: "w", few: "v"}
    scheduler.wait(many, 1000)
    scheduler.wait(few, 5)
    served: list[Requirement] = []
    for _ in range(10):
        [claim] = scheduler.claims()
        [requirement] = claim.requirements
        scheduler.unwait(requirement)
        scheduler.settle(claim)
        assert claim.key == workers[requirement]
        assert scheduler.take(claim.key, requirement)
        scheduler.began(requirement)
        assert list(scheduler.claims()) == []
        end(scheduler, requirement, claim.key)
        served.append(requirement)
    assert Counter(served) == {many: 5, few: 5}


def test_room_goes_on_to_the_next_line_when_the_first_has_nobody_left_or_is_held_elsewhere() -> None:
    scheduler = fair(9, Limit("agent", "echo", running=1), Limit("client", running=1))
    scheduler.wait(of("a", "other"), 1)
    assert serve(scheduler, ends=False) == [of("a", "other")]
    scheduler.wait(of("b"), 1)
    assert serve(scheduler, ends=False) == [of("b")]
    for client in ("gone", "a", "c"):
        scheduler.wait(of(client), 1)
        assert serve(scheduler) == []
    scheduler.unwait(of("gone"))
    end(scheduler, of("b"))
    assert serve(scheduler, ends=False) == [of("c")]
    end(scheduler, of("c"))
    assert serve(scheduler) == []
    end(scheduler, of("a", "other"))
    assert serve(scheduler) == [of("a")]


def test_a_claim_under_way_counts_as_running() -> None:
    scheduler = fair(10, RUNNING)
    scheduler.wait(of("a"), 5)
    [claim] = scheduler.claims()
    assert (claim.limit, claim.limits) == (2, ((AccountName("client", "a"), 2),))
    assert scheduler.place(of("a")) is None
    scheduler.settle(claim)
    assert [each.limit for each in scheduler.claims()] == [2]


def test_what_ran_before_the_start_counts() -> None:
    scheduler = fair(10, RUNNING)
    scheduler.began(of("a"))
    scheduler.began(of("a"))
    scheduler.wait(of("a"), 1)
    assert serve(scheduler) == []
    assert scheduler.holding(of("a")) is scheduler.accounts(of("a"))[0]
    assert scheduler.holding(of("unknown")) is None


def test_what_is_limited_is_placed_only_as_new_where_others_give_out_the_same_queue() -> None:
    scheduler: Scheduler[str] = Scheduler(Policy([Limit("agent", "echo", running=5)]), shared=True)
    scheduler.join("w", ["echo", "other"], {}, 5)
    assert scheduler.place(of("a")) is None
    assert scheduler.place(of("a", "other")) == "w"
    assert scheduler.place_new(of("a")) == "w"
    [account] = scheduler.accounts(of("a"))
    scheduler.shut([account.name])
    assert scheduler.place_new(of("a")) is None


# Changing them.


def test_limits_can_change_while_tasks_wait_and_run() -> None:
    scheduler = fair(10)
    scheduler.wait(of("a"), 8)
    served = serve(scheduler, ends=False)
    assert len(served) == 8
    scheduler.wait(of("a"), 8)
    scheduler.rule(Policy([Limit("client", running=7)], "client"))
    assert serve(scheduler) == []
    for _ in range(2):
        end(scheduler, of("a"))
    assert serve(scheduler, ends=False) == [of("a")]
    scheduler.rule(Policy([Limit("client", running=8)], "client"))
    assert serve(scheduler, ends=False) == [of("a")]
    scheduler.rule(Policy(fair_by="client"))
    assert len(serve(scheduler, ends=False)) == 2
    assert scheduler.held == {}


def test_a_claim_that_was_under_way_when_limits_changed_is_settled() -> None:
    scheduler = fair(2, RUNNING)
    scheduler.wait(of("a"), 5)
    [claim] = scheduler.claims()
    scheduler.rule(Policy([Limit("client", running=1)]))
    assert scheduler.place(of("a")) is None
    scheduler.unwait(of("a"), 2)
    scheduler.settle(claim)
    assert [each.limit for each in scheduler.claims()] == [1]


def test_whose_tasks_neither_wait_nor_run_is_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_MANY_LINES", 8)
    scheduler = fair(3, RUNNING)
    scheduler.began(of("running"))
    scheduler.wait(of("waiting"))
    for number in range(100):
        scheduler.wait(of(f"c{number}"))
        serve(scheduler)
    lines = scheduler._lines
    assert len(lines) <= 9
    assert max(len(lines._parties), len(lines._crowds), len(list(lines.accounts()))) <= 9
    assert lines.find(of("running")) is not None


# Where others give out the same queue.


def test_an_account_that_others_have_filled_is_left_until_a_run_ends_here_or_elsewhere() -> None:
    scheduler: Scheduler[str] = Scheduler(Policy([RUNNING], "client"), shared=True)
    scheduler.join("w", ["echo"], {}, 5)
    scheduler.began(of("a"))
    scheduler.wait(of("a"), 5)
    for reopen in (scheduler.reopen, lambda: scheduler.ended(of("a"))):
        [claim] = scheduler.claims()
        scheduler.shut([account for account, _ in claim.limits])
        scheduler.settle(claim)
        assert list(scheduler.claims()) == []
        reopen()
        [again] = scheduler.claims()
        scheduler.settle(again)


def test_an_account_that_is_forgotten_is_neither_shut_nor_opened() -> None:
    scheduler: Scheduler[str] = Scheduler(Policy([RUNNING]))
    scheduler.shut([AccountName("client", "unknown")])
    assert scheduler.holding(of("unknown")) is None
    scheduler.wait(of("a"))
    scheduler.shut([AccountName("client", "a")])
    scheduler.rule(Policy())
    scheduler.reopen()
    assert scheduler.holding(of("a")) is None
