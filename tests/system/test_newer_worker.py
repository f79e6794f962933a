"""A worker of a later version at work for our control plane, watched by our client: what is unknown harms nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskrun.domain.records import Consumption, RunEvent, Usage
from taskrun.domain.status import RunEventType, TaskStatus
from taskrun.v1 import common_pb2 as common
from taskrun.v1 import run_service_pb2 as pb
from tests.system.raw import RawStream
from tests.system.site import Site

DREAMT = 4711
SMALL = Consumption(10, 2, cost_usd=0.25)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("newer-worker")) as site:
        site.start_plane()
        yield site


def serve_one_run(stream: RawStream) -> None:
    """Takes a run, tells of something that nobody knows yet, and ends it with the usage of two models."""
    stream.send_hello("dreamer")
    stream.send(heartbeat=pb.WorkerHeartbeat(status=common.WORKER_STATUS_IDLE, max_concurrent_runs=1))
    run_id = stream.receive("assign_run").run_id
    stream.send(status_update=pb.RunStatusUpdate(run_id=run_id, status=common.RUN_STATUS_RUNNING))
    event = common.RunEvent(run_id=run_id, event_type=DREAMT, metadata={"of": "sheep"})  # type: ignore[arg-type]
    stream.send(event=event)
    small = common.Usage(input_tokens=10, output_tokens=2, cost_usd=0.25)
    usage = common.Usage(input_tokens=110, by_model={"small": small})
    backend = common.ModelBackend(model_name="big")
    stream.send(
        status_update=pb.RunStatusUpdate(
            run_id=run_id, status=common.RUN_STATUS_COMPLETED, usage=usage, backend_used=backend
        )
    )


def test_an_event_of_a_later_version_is_stored_and_ends_neither_stream_nor_watch(house: Site) -> None:
    task = house.create("dreamer", "Sleep")
    with RawStream(house.grpc_addr, house.identity("of-tomorrow")) as stream:
        serve_one_run(stream)
        done = house.end_of(task.id)
    assert done.status is TaskStatus.COMPLETED
    # Read from the store, with the number that a later client knows what to do with.
    [event] = [entry.body for entry in house.story(task.id) if isinstance(entry.body, RunEvent)]
    assert (event.type, event.number, event.metadata) == (RunEventType.UNKNOWN, DREAMT, {"of": "sheep"})


def test_usage_by_model_reaches_the_task_the_command_line_and_the_metrics(house: Site) -> None:
    before = house.metrics()
    task = house.create("dreamer", "Sleep")
    with RawStream(house.grpc_addr, house.identity("of-today")) as stream:
        serve_one_run(stream)
        done = house.end_of(task.id)
    assert done.runs[0].usage == Usage(110, by_model={"small": SMALL})
    assert "small: 10 tokens in, 2 out · $0.2500" in house.run("get-task", task.id).stdout
    counted = {'kind="input",model="big"': 100, 'kind="input",model="small"': 10, 'kind="output",model="small"': 2}
    for labels, tokens in counted.items():
        series = f"taskrun_tokens_total{{{labels}}}"
        assert house.metrics()[series] - before.get(series, 0) == tokens
