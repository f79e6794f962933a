"""Limits in the core: who is refused, who waits, and what becomes of it when they change."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from taskrun.domain import pacing
from taskrun.domain.batch import ClaimNext, ClaimRuns, RunsClaimed, TasksClaimed
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.inputs import ConnectWorker, CreateTask, Input, PolicyChanged, QueueSeen, RoomMade
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.events import TaskRefused, TasksHeld
from taskrun.domain.explanation import Ahead, explain
from taskrun.domain.now import Now
from taskrun.domain.protocol import Hello
from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import AgentSpec, Requirement, Task, TaskSpec, WorkerInfo
from taskrun.domain.status import RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import Simulation

ANN, BOB = "client:ann", "client:bob"


def simulation(*limits: Limit, fair_by: str = "client", ageing: int = 0) -> Simulation:
    return Simulation(policy=Policy(limits, fair_by, ageing))


def end(sim: Simulation, session: int, task: Task) -> None:
    sim.report(session, sim.task(task.id).runs[-1].id, RunStatus.COMPLETED)


def refusal(sim: Simulation, by: str = ANN, **options: Any) -> str:
    with pytest.raises(ResourceExhausted) as caught:
        sim.create(by=by, **options)
    return caught.value.message


# At admission.


def test_no_more_wait_than_a_limit_allows() -> None:
    sim = simulation(Limit("client", waiting=2))
    sim.create(by=ANN), sim.create(by=ANN)
    assert refusal(sim) == ("The client ann has 2 of at most 2 tasks waiting: try again when one of them has begun.")
    assert sim.happened(TaskRefused) == [TaskRefused(AccountName("client", "ann"), "waiting")]
    assert len(sim.store.tasks) == 2
    sim.create(by=BOB)


def test_a_task_that_need_not_wait_is_created_however_few_may() -> None:
    sim = simulation(Limit("client", waiting=0))
    sim.connect(slots=1)
    assert sim.create(by=ANN).status is TaskStatus.RUNNING
    refusal(sim)


def test_who_has_begun_or_was_cancelled_makes_room() -> None:
    sim = simulation(Limit("agent", "echo", waiting=1))
    task = sim.create(by=ANN)
    refusal(sim)
    sim.cancel(task.id)
    sim.create(by=ANN)
    refusal(sim)
    sim.connect(slots=1)
    sim.create(by=ANN)
    refusal(sim)


def test_a_repeat_of_what_was_created_is_never_refused() -> None:
    sim = simulation(Limit("client", waiting=1), Limit("agent", per_minute=1))
    task = sim.create(by=ANN, idempotency_key="k")
    assert sim.create(by=ANN, idempotency_key="k") == task
    refusal(sim, idempotency_key="other")
    sim.restart()
    assert sim.create(by=ANN, idempotency_key="k").id == task.id


def test_what_waited_before_the_start_counts() -> None:
    sim = simulation(Limit("client", waiting=1))
    sim.create(by=ANN)
    sim.restart()
    refusal(sim)


def test_an_idle_client_has_a_minutes_worth_at_once_and_then_its_rate() -> None:
    sim = simulation(Limit("client", per_minute=6))
    for _ in range(6):
        sim.create(by=ANN)
    assert refusal(sim) == "The client ann may create 6 tasks a minute: try again in 10.0 s."
    sim.create(by=BOB)
    sim.wait(9.9)
    refusal(sim)
    sim.wait(0.1)
    sim.create(by=ANN)
    refusal(sim)
    sim.wait(60)
    for _ in range(6):
        sim.create(by=ANN)
    refusal(sim)


def test_a_refusal_spends_nothing() -> None:
    sim = simulation(Limit("client", waiting=1, per_minute=2))
    sim.create(by=ANN)
    assert "waiting" in refusal(sim)
    assert "waiting" in refusal(sim)
    sim.connect(slots=1)
    sim.create(by=ANN)
    assert "a minute" in refusal(sim)


def test_rates_that_no_longer_matter_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_MANY", 4)
    sim = simulation(Limit("client", per_minute=60))
    for number in range(20):
        sim.create(by=f"client:c{number}")
        sim.wait(1)
    assert len(sim.core._creating._admission._pacing) <= 4


def test_labels_are_counted_by_their_values() -> None:
    sim = simulation(Limit("label:team", "red", waiting=1))
    sim.create(by=ANN, labels={"team": "red"})
    assert "The label team red has 1" in refusal(sim, by=BOB, labels={"team": "red"})
    sim.create(by=BOB, labels={"team": "blue"})
    sim.create(by=BOB)


# At dispatch.


def test_what_a_limit_holds_waits_and_the_others_go_on() -> None:
    sim = simulation(Limit("client", running=1))
    session = sim.connect(slots=3)
    first, held = sim.create(by=ANN), sim.create(by=ANN)
    assert (first.status, held.status) == (TaskStatus.RUNNING, TaskStatus.PENDING)
    assert sim.happened(TasksHeld)[-1] == TasksHeld({"client": 1})
    assert sim.create(by=BOB).status is TaskStatus.RUNNING
    end(sim, session, first)
    assert sim.task(held.id).status is TaskStatus.RUNNING
    assert sim.happened(TasksHeld)[-1] == TasksHeld({"client": 0})


def test_what_runs_counts_after_a_restart_too() -> None:
    sim = simulation(Limit("client", running=1))
    sim.connect(slots=3, process="p")
    sim.create(by=ANN)
    sim.restart()
    sim.connect("w2", slots=3)
    assert sim.create(by=ANN).status is TaskStatus.PENDING
    assert sim.create(by=BOB).status is TaskStatus.RUNNING


def test_which_limit_holds_a_task_is_told() -> None:
    sim = simulation(Limit("client", running=1))
    session = sim.connect(slots=3)
    first, held = sim.create(by=ANN), sim.create(by=ANN, queue_timeout_ms=5000)
    why = "a limit holds it: the client ann may have 1 run at once and has it"
    assert sim.core.held_by(held) == why
    assert explain(held, sim.core.workers(), Ahead(0), held=sim.core.held_by(held)).summary == why
    assert sim.core.held_by(sim.create("nobody", by=BOB)) == ""
    sim.wait(5)
    assert sim.task(held.id).error.endswith(why)
    end(sim, session, first)
    assert sim.core.held_by(held) == ""


def test_whom_nobody_could_take_is_told_that_before_the_limit_also_when_it_fails() -> None:
    sim = simulation(Limit("client", running=1))
    sim.connect(slots=3)
    sim.create(by=ANN)
    held = sim.create("nobody", by=ANN, queue_timeout_ms=5000)
    sim.wait(5)
    why = "a limit holds it: the client ann may have 1 run at once and has it"
    assert sim.task(held.id).error.endswith(f"no connected worker offers the agent nobody, and {why}")


def test_limits_change_under_way() -> None:
    sim = simulation()
    sim.connect(slots=9)
    sim.create(by=ANN)
    sim.turn(PolicyChanged(Policy([Limit("client", running=1)], "client")))
    held = sim.create(by=ANN)
    assert held.status is TaskStatus.PENDING
    sim.turn(PolicyChanged(Policy([Limit("client", running=2)], "client")))
    sim.settle()
    assert sim.task(held.id).status is TaskStatus.RUNNING


# Between clients, and with age.


def test_two_clients_have_equal_shares_of_a_worker() -> None:
    sim = simulation()
    sim.create_all(*[TaskSpec("echo", "1")] * 100, by=ANN)
    few = sim.create_all(*[TaskSpec("echo", "1")] * 5, by=BOB)
    session = sim.connect(slots=1)
    for _ in range(10):
        [running] = sim.store.having(TaskStatus.RUNNING)
        end(sim, session, running)
    assert all(sim.task(task.id).status.is_terminal for task in few)


def test_a_task_of_low_priority_goes_first_when_it_has_waited_long_enough() -> None:
    sim = simulation(ageing=60)
    low = sim.create(by=ANN, priority=-1)
    sim.wait(61)
    high = sim.create(by=ANN)
    session = sim.connect(slots=1)
    assert sim.task(low.id).status is TaskStatus.RUNNING
    end(sim, session, sim.task(low.id))
    sim.create(by=ANN)
    assert sim.task(high.id).status is TaskStatus.RUNNING


def test_without_ageing_no_age_makes_up_for_priority() -> None:
    sim = simulation()
    low = sim.create(by=ANN, priority=-1)
    sim.wait(86_400 * 365)
    high = sim.create(by=ANN)
    sim.connect(slots=1)
    assert (sim.task(low.id).status, sim.task(high.id).status) == (TaskStatus.PENDING, TaskStatus.RUNNING)


# With other control planes on the store.


class Shared:
    """A core that is not alone, with the store's answers made up: nobody new finds room to run at once."""

    def __init__(self, limit: Limit) -> None:
        self.core = ControlPlaneCore(
            ControlPlaneTimers(), map(str, count()).__next__, shared=True, policy=Policy([limit])
        )
        self.hello = Hello(WorkerInfo(agents=(AgentSpec("echo"),)), max_concurrent_runs=3)

    def feed(self, *inputs: Input) -> list[ClaimNext]:
        turn = self.core.handle(inputs, Now(1.0, 1000))
        self.core.overbooked(turn, tuple(turn.batch.running))
        return [ask for ask in turn.batch.asks if isinstance(ask, ClaimNext)]


def test_who_is_full_elsewhere_is_not_asked_for_before_runs_may_have_ended_there() -> None:
    shared = Shared(Limit("client", running=5))
    shared.feed(ConnectWorker(0, 1, "w1", shared.hello))
    shared.feed(RunsClaimed(ClaimRuns(1, "w1"), ()))
    for news in (RoomMade(), QueueSeen({Requirement("echo", (), (("client", "ann"),)): 1})):
        [ask] = shared.feed(CreateTask(0, TaskSpec("echo", "1"), ANN)) or shared.feed(news)
        assert ask.limits == ((AccountName("client", "ann"), 5),)
        assert shared.feed(TasksClaimed(ask, (), (AccountName("client", "ann"),))) == []
        assert len(again := shared.feed(news)) == 1
        assert shared.feed(TasksClaimed(again[0], (), (AccountName("client", "ann"),))) == []
