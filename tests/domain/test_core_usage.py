"""What a run consumed is counted once, with its end as it is stored: whatever is said twice, lost, or begun again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskrun.domain.events import RunEnded
from taskrun.domain.protocol import LiveRun, RunReport
from taskrun.domain.records import Consumption, ModelBackend, RunEvent, Usage
from taskrun.domain.status import FailureKind, RunEventType, RunStatus, TaskStatus
from taskrun.domain.usage import total
from taskrun.testing.simulation import Simulation

HELPER = Consumption(10, 2)
USAGE = Usage(110, 22, 3, 4, 0.5, {"small": HELPER})
CONSUMED = {"small": HELPER, "big": Consumption(100, 20, 3, 4, 0.5)}


def end(run_id: str, status: RunStatus = RunStatus.COMPLETED, seq: int | None = None) -> RunReport:
    return RunReport(run_id, status, backend=ModelBackend("p", "big"), usage=USAGE, seq=seq)


def counted(sim: Simulation) -> list[object]:
    return [event.consumed for event in sim.happened(RunEnded)]


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_s_usage_is_counted_by_model_however_it_ended(sim: Simulation, status: RunStatus) -> None:
    session = sim.connect()
    task = sim.create()
    sim.say(session, end(task.runs[0].id, status))
    assert counted(sim) == [CONSUMED]


def test_a_task_that_was_cancelled_has_what_it_consumed_until_then(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.cancel(task.id)
    sim.say(session, end(task.runs[0].id, RunStatus.CANCELLED))
    assert sim.task(task.id).status is TaskStatus.CANCELLED
    assert (total(sim.task(task.id).runs), counted(sim)) == (
        Usage(110, 22, 3, 4, 0.5, CONSUMED),
        [CONSUMED],
    )


def test_a_doubled_report_counts_once(sim: Simulation) -> None:
    session = sim.connect()
    run_id = sim.create().runs[0].id
    sim.say(session, end(run_id), end(run_id))
    sim.say(session, end(run_id, RunStatus.FAILED))
    assert counted(sim) == [CONSUMED]


def test_a_report_that_is_said_again_on_a_new_stream_counts_once(sim: Simulation) -> None:
    session = sim.connect(process="p")
    run_id = sim.create().runs[0].id
    sim.say(session, RunReport(run_id, RunStatus.RUNNING, seq=0), end(run_id, seq=1))
    sim.vanish(session)
    again = sim.connect(process="p", live_runs=[LiveRun(run_id, 2)])
    sim.say(again, RunReport(run_id, RunStatus.RUNNING, seq=0), end(run_id, seq=1))
    assert counted(sim) == [CONSUMED]


@pytest.mark.parametrize("heard", [True, False])
def test_a_restart_counts_nothing_again(sim: Simulation, heard: bool) -> None:
    session = sim.connect(process="p")
    run_id = sim.create().runs[0].id
    sim.say(session, RunReport(run_id, RunStatus.RUNNING, seq=0), *[end(run_id, seq=1)] * heard)
    sim.restart()
    again = sim.connect(process="p", live_runs=[LiveRun(run_id, 2)])
    sim.say(again, end(run_id, seq=1))
    assert counted(sim) == [CONSUMED]


def test_each_run_of_a_task_counts_and_the_task_has_their_sum(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(retry_on=frozenset({FailureKind.AGENT_ERROR}))
    sim.say(session, end(task.runs[0].id, RunStatus.FAILED))
    sim.say(session, end(sim.task(task.id).runs[1].id))
    whole = total(sim.task(task.id).runs)
    assert counted(sim) == [CONSUMED, CONSUMED]
    assert whole is not None
    assert (whole.input_tokens, whole.by_model["small"]) == (220, HELPER + HELPER)


def test_a_worker_that_tells_nothing_counts_nothing(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.say(session, RunReport(task.runs[0].id, RunStatus.COMPLETED, backend=ModelBackend("p", "big")))
    assert (total(sim.task(task.id).runs), counted(sim)) == (None, [{}])


def test_a_lost_run_counts_nothing_and_what_is_told_of_it_later_neither(sim: Simulation) -> None:
    session = sim.connect(process="p")
    task = sim.create()
    sim.vanish(session)
    sim.wait(200)
    sim.connect(process="p", live_runs=[LiveRun(task.runs[0].id, 2)])
    assert counted(sim) == [{}]


# What was told on the way.

SO_FAR = {"small": HELPER}


def told(run_id: str, seq: int | None, tokens: int = 10) -> RunEvent:
    metadata = {"model": "small", "input_tokens": str(tokens), "output_tokens": "2"}
    return RunEvent(run_id, RunEventType.USAGE, metadata, seq=seq)


def under_way(sim: Simulation, **limits: Any) -> tuple[int, str, str]:
    """A run that has told twice what it consumed so far: its worker's session, its task and its id."""
    session = sim.connect(process="p")
    task = sim.create(max_attempts=1, **limits)
    run_id = task.runs[0].id
    sim.say(session, RunReport(run_id, RunStatus.RUNNING, seq=0), told(run_id, 1, tokens=1), told(run_id, 2))
    return session, task.id, run_id


def lose(sim: Simulation, session: int, task_id: str) -> None:
    sim.vanish(session)
    sim.wait(120)


def cancel(sim: Simulation, session: int, task_id: str) -> None:
    sim.cancel(task_id)
    sim.wait(15)


def time_out(sim: Simulation, session: int, task_id: str) -> None:
    sim.wait(10 + 15)


@pytest.mark.parametrize(
    ("end", "timeout_ms", "failure"),
    [
        (lose, 0, FailureKind.WORKER_LOST),
        (cancel, 0, FailureKind.CANCELLED),
        (time_out, 10_000, FailureKind.TIMEOUT),
    ],
)
@pytest.mark.parametrize("restarted", [True, False])
def test_a_run_that_nobody_reports_the_end_of_has_consumed_what_it_told_last(
    sim: Simulation,
    end: Callable[[Simulation, int, str], None],
    timeout_ms: int,
    failure: FailureKind,
    restarted: bool,
) -> None:
    session, task_id, run_id = under_way(sim, timeout_ms=timeout_ms)
    if restarted:
        sim.restart()
        session = sim.connect(process="p", live_runs=[LiveRun(run_id, 3)])
    end(sim, session, task_id)
    [run] = sim.task(task_id).runs
    assert (run.failure, run.usage, counted(sim)) == (failure, Usage(10, 2, by_model=SO_FAR), [SO_FAR])


def test_what_its_worker_reports_after_such_an_end_counts_nothing_more(sim: Simulation) -> None:
    session, task_id, run_id = under_way(sim)
    cancel(sim, session, task_id)
    ended = sim.task(task_id)
    sim.say(session, told(run_id, 3, tokens=99), end(run_id, RunStatus.CANCELLED, seq=4))
    assert (sim.task(task_id), counted(sim)) == (ended, [SO_FAR])


def test_the_report_of_the_end_says_what_counts_if_it_says_anything(sim: Simulation) -> None:
    session, _, run_id = under_way(sim)
    sim.say(session, end(run_id, seq=3))
    session, _, run_id = under_way(sim)
    sim.say(session, RunReport(run_id, RunStatus.COMPLETED, seq=3))
    assert counted(sim) == [CONSUMED, SO_FAR]


def test_a_task_that_runs_has_what_it_consumed_so_far(sim: Simulation) -> None:
    session, task_id, run_id = under_way(sim)
    sim.say(session, RunEvent(run_id, RunEventType.USAGE, {"input_tokens": "none"}, seq=3))
    assert total(sim.task(task_id).runs) == Usage(10, 2, by_model=SO_FAR)
    assert counted(sim) == []


def test_what_the_story_has_no_room_for_counts_all_the_same(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskrun.domain.control_plane.hearing.MAX_OUTPUT_BYTES", 0)
    session, task_id, _ = under_way(sim)
    lose(sim, session, task_id)
    assert counted(sim) == [SO_FAR]
