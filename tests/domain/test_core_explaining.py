"""What the core knows of why a task waits, beside what is stored: who rests, and whom it gives nothing for now."""

from __future__ import annotations

from taskrun.domain.protocol import Heartbeat
from taskrun.domain.retry import retry_delay
from taskrun.domain.status import FailureKind, RunStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import OLD, Simulation


def withheld(sim: Simulation) -> str:
    """Why the worker `w1` is given no run."""
    view = sim.core.worker("w1")
    assert view is not None
    return view.withheld


def test_until_when_a_task_rests_is_known_while_it_does(sim: Simulation) -> None:
    session = sim.connect("w1")
    task = sim.create(retry_on=frozenset({FailureKind.AGENT_ERROR}), max_attempts=5)
    assert sim.core.rests_until_ms(task.id, sim.now) == 0
    for _ in range(2):
        sim.report(session, sim.assigned(session).run_id, RunStatus.FAILED, FailureKind.AGENT_ERROR)
    ends = sim.core.rests_until_ms(task.id, sim.now)
    assert ends == sim.now.utc_ms + round(retry_delay(sim.task(task.id).runs, ControlPlaneTimers()) * 1000)
    sim.wait(0.5)
    assert sim.core.rests_until_ms(task.id, sim.now) == ends
    sim.wait(0.5)
    assert sim.core.rests_until_ms(task.id, sim.now) == 0


def test_a_worker_that_refused_a_run_says_so_until_its_next_heartbeat(sim: Simulation) -> None:
    session = sim.connect("w1")
    [run] = sim.create().runs
    assert withheld(sim) == ""
    sim.report(session, run.id, RunStatus.FAILED, FailureKind.REJECTED)
    assert withheld(sim) == "turned a run away, and gets none before its next heartbeat"
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
    assert withheld(sim) == ""


def test_a_worker_that_did_not_start_a_run_says_so_until_it_is_heard_of_that_run(sim: Simulation) -> None:
    session = sim.connect("w1", features=OLD)
    [run] = sim.create().runs
    for _ in range(30):
        sim.wait(1)
        sim.say(session, Heartbeat(WorkerStatus.BUSY, 1, 10))
    assert withheld(sim) == "did not start a run in time, and gets none before it says something about it"
    sim.report(session, run.id, RunStatus.RUNNING)
    assert withheld(sim) == ""
