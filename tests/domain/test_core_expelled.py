"""A worker whose certificate was revoked: nobody waits for it."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane.inputs import WorkerExpelled
from taskrun.domain.errors import Unauthenticated
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import Simulation


def expel(sim: Simulation, worker_id: str) -> None:
    sim.turn(WorkerExpelled(worker_id))
    sim.settle()


@pytest.mark.parametrize("grace", [0.0, 120.0])
def test_its_stream_is_cut_and_its_run_goes_to_another_at_once(sim: Simulation, grace: float) -> None:
    sim.timers = ControlPlaneTimers(grace=grace)
    sim.restart()
    session = sim.connect("w1", process="p1")
    task = sim.create()
    run = sim.assigned(session)
    sim.report(session, run.run_id, RunStatus.RUNNING)
    other = sim.connect("w2", process="p2")
    expel(sim, "w1")
    assert isinstance(sim.closed[session], Unauthenticated)
    assert [view.id for view in sim.core.workers()] == ["w2"]
    assert sim.assigned(other).task_id == task.id
    assert sim.task(task.id).runs[0].failure is FailureKind.WORKER_LOST


def test_one_that_is_away_is_waited_for_no_longer(sim: Simulation) -> None:
    session = sim.connect("w1", process="p1")
    task = sim.create()
    sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
    sim.vanish(session)
    expel(sim, "w1")
    assert sim.core.workers() == []
    assert sim.task(task.id).status is TaskStatus.PENDING


def test_nobody_else_is_concerned(sim: Simulation) -> None:
    sim.connect("w1")
    expel(sim, "w2")
    assert [view.id for view in sim.core.workers()] == ["w1"]
    assert sim.closed == {}


def test_whoever_enrols_under_its_id_afterwards_is_let_in(sim: Simulation) -> None:
    sim.connect("w1", process="p1")
    expel(sim, "w1")
    assert sim.connect("w1", process="p9")
