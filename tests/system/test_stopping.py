"""SIGTERM, of the control plane and of workers, with a run active; and runs that take their time to stop."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from tests.system.site import ECHO, Site, command, only_run, processes_of, soon

TERM = signal.SIGTERM
#: Does not end before it is killed.
STUBBORN = command("stubborn", "trap '' TERM HUP INT; echo BEGUN; while :; do sleep 0.1; done")


def test_sigterm_ends_a_control_plane_with_a_run_active_within_10_seconds_and_exit_code_0(
    site: Site, gate: Path
) -> None:
    site.start_worker("one")
    site.begin(gate)
    began = time.monotonic()
    site.plane.tell(TERM)
    assert site.plane.wait() == 0
    assert time.monotonic() - began < 10


def test_a_worker_told_to_stop_finishes_what_it_has_and_takes_nothing_new(site: Site, gate: Path) -> None:
    worker = site.start_worker("one")
    task = site.begin(gate)
    worker.tell(TERM)
    soon(lambda: site.client.worker("one").status is WorkerStatus.DRAINING)
    waits = site.create("echo", "Who is there?")
    gate.touch()
    done = site.end_of(task.id)
    assert (done.status, [run.worker_id for run in done.runs]) == (TaskStatus.COMPLETED, ["one"])
    assert worker.wait() == 0
    assert site.client.get(waits.id).status is TaskStatus.PENDING
    # Another takes its place.
    site.start_worker("two")
    assert [run.worker_id for run in site.end_of(waits.id).runs] == ["two"]


def test_a_second_sigterm_stops_the_runs_and_another_worker_gets_the_task(site: Site, gate: Path) -> None:
    worker = site.start_worker("one")
    task = site.begin(gate)
    worker.tell(TERM)
    soon(lambda: site.client.worker("one").status is WorkerStatus.DRAINING)
    worker.tell(TERM)
    assert worker.wait() == 0
    assert processes_of(only_run(task)) == []
    gate.touch()
    site.start_worker("two")
    done = site.end_of(task.id)
    assert [(run.worker_id, run.status) for run in done.runs] == [
        ("one", RunStatus.CANCELLED),
        ("two", RunStatus.COMPLETED),
    ]


def test_a_task_is_cancelled_when_its_processes_are_gone_however_long_its_worker_leaves_them(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.start_plane("--stop-timeout", "1s")
        site.start_worker("one", "--stop-grace", "4s", agents=[STUBBORN])
        task = site.create("stubborn")
        site.wait_for_output(task.id, "BEGUN")
        began = time.monotonic()
        site.client.cancel(task.id)
        done = site.end_of(task.id)
        assert processes_of(only_run(done)) == []
        assert time.monotonic() - began > 4
        assert (done.status, done.runs[0].failure) == (TaskStatus.CANCELLED, FailureKind.CANCELLED)
        assert "not confirmed" not in done.runs[0].error


def test_a_task_whose_worker_is_frozen_is_cancelled_all_the_same_and_says_that_nobody_knows(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.start_plane("--stop-timeout", "1s")
        worker = site.start_worker("one", agents=[ECHO, STUBBORN])
        task = site.create("stubborn")
        site.wait_for_output(task.id, "BEGUN")
        worker.tell(signal.SIGSTOP)
        site.client.cancel(task.id)
        done = site.end_of(task.id)
        assert (done.status, done.runs[0].failure) == (TaskStatus.CANCELLED, FailureKind.CANCELLED)
        assert "the worker one has not confirmed its end" in done.runs[0].error
        assert processes_of(only_run(done))
        # What it stops and says when it thaws changes nothing.
        worker.tell(signal.SIGCONT)
        soon(lambda: not processes_of(only_run(done)))
        assert site.end_of(site.create("echo", "still here").id).status is TaskStatus.COMPLETED
        assert site.client.get(task.id) == done


def test_a_worker_survives_its_control_plane_and_works_for_the_next_one(site: Site, gate: Path) -> None:
    worker = site.start_worker("one")
    run_id = only_run(site.begin(gate))
    port = str(site.grpc_port)
    site.plane.kill()
    site.start_plane("--grpc-addr", f"[::1]:{port}")
    # This one kept its tasks in memory: its successor has never heard of the run.
    soon(lambda: processes_of(run_id) == [])
    task = site.create("echo", "Here we are again.")
    assert site.end_of(task.id).status is TaskStatus.COMPLETED
    assert worker.is_running
