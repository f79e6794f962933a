from __future__ import annotations

from taskrun.adapters.agents.function import FunctionAgent
from taskrun.domain.events import RunEnded
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import FailureKind, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.ports.agents import AgentRequest, AgentSink
from taskrun.testing.harness import Harness, RecordingTelemetry


class Hours:
    """An agent that takes hours."""

    def __init__(self, plane: Harness) -> None:
        self._plane = plane

    async def work(self, request: AgentRequest, sink: AgentSink) -> None:
        await self._plane.clock.sleep_until(10_000)


async def started(plane: Harness) -> str:
    """A worker, and the id of a task that it has begun."""
    await plane.start_worker("atlas", [FunctionAgent("hours", Hours(plane).work)])
    [task] = await plane.engine.create([TaskSpec("hours", "null")], "me")
    await plane.settle()
    assert isinstance(task, Task)
    return task.id


async def status(plane: Harness, task_id: str) -> TaskStatus:
    return (await plane.engine.get(task_id)).status


async def test_what_takes_hours_is_over_at_once_when_the_clock_advances() -> None:
    async with Harness() as plane:
        task_id = await started(plane)
        assert await status(plane, task_id) is TaskStatus.RUNNING
        await plane.clock.advance(9_000)
        assert await status(plane, task_id) is TaskStatus.COMPLETED


async def test_a_killed_worker_has_its_time_to_come_back_and_then_its_task_waits_for_another() -> None:
    telemetry = RecordingTelemetry()
    async with Harness(telemetry=telemetry) as plane:
        task_id = await started(plane)
        await plane.kill_worker("atlas")
        assert await status(plane, task_id) is TaskStatus.RUNNING
        assert [view.status for view in plane.engine.workers()] == [WorkerStatus.DISCONNECTED]
        await plane.clock.advance(121)
        assert await status(plane, task_id) is TaskStatus.PENDING
        assert plane.engine.workers() == []
        assert [event.failure for event in telemetry.events if isinstance(event, RunEnded)] == [FailureKind.WORKER_LOST]


async def test_a_frozen_worker_is_cut_off_for_its_silence_and_comes_back_when_it_thaws() -> None:
    async with Harness(timers=ControlPlaneTimers(silence=10), worker_timers=DaemonTimers(heartbeat=3)) as plane:
        await started(plane)
        plane.workers["atlas"].line.freeze()
        await plane.clock.advance(11)
        assert [view.status for view in plane.engine.workers()] == [WorkerStatus.DISCONNECTED]
        plane.workers["atlas"].line.thaw()
        await plane.clock.advance(5)
        assert [view.status for view in plane.engine.workers()] == [WorkerStatus.BUSY]
