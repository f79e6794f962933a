"""A worker of the system that TaskRun descends from, at work for our control plane (WIRE.md)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskrun.domain.records import OutputSegment, Task
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.v1 import common_pb2 as common
from taskrun.v1 import run_service_pb2 as pb
from tests.system.raw import RawStream
from tests.system.site import Site, soon


class OldWorker:
    """Does what WIRE.md says that old workers do, step by step."""

    def __init__(self, stream: RawStream, claimed_id: str) -> None:
        self._stream, self._claimed_id = stream, claimed_id

    def begin(self) -> None:
        """The hello, under an id that is not its certificate's, and a heartbeat at once."""
        self._stream.send_hello("translator", claimed_id=self._claimed_id)
        beat = pb.WorkerHeartbeat(worker_id=self._claimed_id, status=common.WORKER_STATUS_IDLE, max_concurrent_runs=10)
        self._stream.send(heartbeat=beat)

    def take(self) -> str:
        """The next run, which it says is running."""
        run_id: str = self._stream.receive("assign_run").run_id
        self.report(run_id, common.RUN_STATUS_RUNNING)
        return run_id

    def say(self, run_id: str, *chunks: str) -> None:
        """Output, ended by an empty chunk, the way it was done."""
        for seq, content in enumerate(chunks):
            self._stream.send(output_chunk=pb.RunOutputChunk(run_id=run_id, seq=seq, content=content))
        self._stream.send(output_chunk=pb.RunOutputChunk(run_id=run_id, seq=len(chunks), is_final=True))

    def report(self, run_id: str, status: common.RunStatus.ValueType) -> None:
        """How the run stands."""
        self._stream.send(status_update=pb.RunStatusUpdate(run_id=run_id, status=status))

    def is_told_to_stop(self, run_id: str) -> bool:
        """Whether the next cancel, which it does not obey, is for this run."""
        return bool(self._stream.receive("cancel_run").run_id == run_id)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("old-worker")) as site:
        site.start_plane("--stop-timeout", "0.2")
        yield site


@pytest.fixture
def old_worker(house: Site) -> Iterator[OldWorker]:
    """Connected, with nothing to do."""
    with RawStream(house.grpc_addr, house.identity("old-one")) as stream:
        worker = OldWorker(stream, "a-random-id")
        worker.begin()
        yield worker
    soon(lambda: house.worker_ids() == [])


def output_of(site: Site, task: Task) -> str:
    bodies = (entry.body for entry in site.story(task.id))
    return "".join(text for body in bodies if isinstance(body, OutputSegment) for text in body.contents)


def test_an_old_worker_does_its_job_under_the_name_in_its_certificate(house: Site, old_worker: OldWorker) -> None:
    task = house.create("translator", "Guten Tag")
    run_id = old_worker.take()
    old_worker.say(run_id, "Good", " ", "morning")
    old_worker.report(run_id, common.RUN_STATUS_COMPLETED)
    done = house.end_of(task.id)
    assert (done.status, done.runs[0].worker_id) == (TaskStatus.COMPLETED, "old-one")
    assert output_of(house, task) == "Good morning"


def test_an_old_worker_s_failure_is_the_task_s(house: Site, old_worker: OldWorker) -> None:
    task = house.create("translator", "???")
    old_worker.report(old_worker.take(), common.RUN_STATUS_FAILED)
    done = house.end_of(task.id)
    assert (done.status, done.runs[0].failure) == (TaskStatus.FAILED, FailureKind.AGENT_ERROR)


def test_an_old_worker_that_does_not_obey_a_cancel_cannot_undo_it(house: Site, old_worker: OldWorker) -> None:
    task = house.create("translator", "A long story")
    run_id = old_worker.take()
    house.wait_for_status(task.id, RunStatus.RUNNING)
    house.client.cancel(task.id)
    assert old_worker.is_told_to_stop(run_id)
    # Its patience over, the control plane ends the task without the worker's word.
    assert house.end_of(task.id).status is TaskStatus.CANCELLED
    old_worker.say(run_id, "Once upon a time")
    old_worker.report(run_id, common.RUN_STATUS_COMPLETED)
    after = house.create("translator", "The next")
    old_worker.report(old_worker.take(), common.RUN_STATUS_COMPLETED)
    house.end_of(after.id)
    assert house.client.get(task.id).status is TaskStatus.CANCELLED
    assert output_of(house, task) == ""


def test_the_runs_of_an_old_worker_are_lost_with_its_stream_and_its_late_reports_change_nothing(house: Site) -> None:
    tls = house.identity("old-two")
    task = house.create("translator", "Twice")
    with RawStream(house.grpc_addr, tls) as stream:
        worker = OldWorker(stream, "first-life")
        worker.begin()
        first = worker.take()
        house.wait_for_status(task.id, RunStatus.RUNNING)
    with RawStream(house.grpc_addr, tls) as stream:
        worker = OldWorker(stream, "second-life")
        worker.begin()
        second = worker.take()
        worker.say(first, "LATE")
        worker.report(first, common.RUN_STATUS_FAILED)
        worker.say(second, "IN TIME")
        worker.report(second, common.RUN_STATUS_COMPLETED)
        done = house.end_of(task.id)
    assert [(run.id, run.status) for run in done.runs] == [(first, RunStatus.FAILED), (second, RunStatus.COMPLETED)]
    assert output_of(house, task) == "IN TIME"
