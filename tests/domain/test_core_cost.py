"""No input is served by looking through all tasks or all workers: its cost does not grow with them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import process_time

import pytest

from taskrun.domain.control_plane.inputs import CancelTask, ConnectWorker, CreateTask, Input, WorkerGone, WorkerSpoke
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.protocol import AssignRun, FromWorker, Heartbeat, Hello, RunReport
from taskrun.domain.records import AgentSpec, OutputSegment, TaskSpec, WorkerInfo
from taskrun.domain.status import RunStatus, WorkerStatus
from taskrun.testing.simulation import Simulation

FEW, MANY = 10, 2000
#: A scan would cost up to 200 times as much.
BOUND = 10
SERVED, UNSERVED = TaskSpec("echo", "1"), TaskSpec("nobody", "1")
SEQS = count()
HELLO = Hello(WorkerInfo(agents=(AgentSpec("echo"),)), max_concurrent_runs=3)


class Plant:
    """So many workers with two runs each and room for one more, and as many tasks that wait for another agent."""

    def __init__(self, size: int) -> None:
        self.sim = Simulation()
        self.feed(*[ConnectWorker(0, session, f"w{session}", HELLO) for session in range(1, size + 1)])
        self.feed(*[CreateTask(0, UNSERVED, "client:test")] * size)
        sends = self.feed(*[CreateTask(0, SERVED, "client:test")] * (2 * size)).sends
        #: Each run with the stream it was sent on.
        self.runs = [(session, run) for session, runs in sends.items() for run in runs if isinstance(run, AssignRun)]
        self.session, self.run = self.runs[0]

    def feed(self, *inputs: Input) -> Turn:
        """A turn without the simulation's checks, which do look through everything."""
        return self.sim.core.handle(inputs, self.sim.now)

    def seconds(self, make_inputs: Callable[[Plant], tuple[Input, ...]]) -> float:
        """What a turn costs when nothing disturbs it."""
        return min(self._timed(make_inputs(self)) for _ in range(FEW))

    def _timed(self, inputs: tuple[Input, ...]) -> float:
        start = process_time()
        self.feed(*inputs)
        return process_time() - start


def say(session: int, message: FromWorker) -> WorkerSpoke:
    return WorkerSpoke(session, [message])


def end_and_next(plant: Plant) -> tuple[Input, ...]:
    session, run = plant.runs.pop()
    return say(session, RunReport(run.run_id, RunStatus.COMPLETED)), CreateTask(0, SERVED, "client:test")


INPUTS: dict[str, Callable[[Plant], tuple[Input, ...]]] = {
    "nothing": lambda plant: (),
    "heartbeat": lambda plant: (say(plant.session, Heartbeat(WorkerStatus.BUSY, 2, 3)),),
    "output": lambda plant: (say(plant.session, OutputSegment(plant.run.run_id, next(SEQS), ("x",))),),
    "unknown run": lambda plant: (say(plant.session, RunReport("unknown", RunStatus.COMPLETED)),),
    "a task that waits": lambda plant: (CreateTask(0, UNSERVED, "client:test"),),
    "the end of a run and the next task": end_and_next,
    "cancel": lambda plant: (CancelTask(0, plant.runs.pop()[1].task_id),),
    "a worker comes and goes": lambda plant: (ConnectWorker(0, 9999, "new", HELLO), WorkerGone(9999)),
}


@pytest.fixture(scope="module")
def plants() -> tuple[Plant, Plant]:
    return Plant(FEW), Plant(MANY)


@pytest.mark.parametrize("name", INPUTS)
def test_the_cost_of_an_input_does_not_grow_with_tasks_and_workers(plants: tuple[Plant, Plant], name: str) -> None:
    few, many = plants
    assert many.seconds(INPUTS[name]) < BOUND * few.seconds(INPUTS[name])
