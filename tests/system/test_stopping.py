"""SIGTERM, of the control plane and of workers, with a run active."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from taskrun.domain.status import RunStatus, TaskStatus, WorkerStatus
from tests.system.site import Site, only_run, processes_of, soon

TERM = signal.SIGTERM


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
