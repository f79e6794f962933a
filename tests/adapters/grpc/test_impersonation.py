"""A worker that speaks of another's run, in every message that there is: nothing of it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from google.protobuf.descriptor import Descriptor

from taskrun.adapters.grpc.codec_runs import decode_from_worker, decode_hello
from taskrun.domain.errors import ProtocolViolation
from taskrun.domain.identity import Role
from taskrun.domain.protocol import AssignRun, CancelRun, HelloAck
from taskrun.domain.records import StoryEntry, Task, TaskSpec
from taskrun.domain.rights import METHODS
from taskrun.domain.status import RunStatus, Verdict
from taskrun.testing.harness import Harness
from taskrun.v1 import certificate_service_pb2, common_pb2, run_service_pb2
from taskrun.v1 import run_service_pb2 as pb
from tests.engine.peers import Peer
from tests.filled import filled

#: All that a stream can carry from a worker.
PAYLOADS = [field.name for field in pb.RunClientMessage.DESCRIPTOR.oneofs_by_name["payload"].fields]
LATER = [name for name in PAYLOADS if name not in {"hello", "batch", "heartbeat"}]

#: Fields by which a message says about whom or what it is.
NAMES = {"worker_id", "run_id", "task_id", "owner", "serial"}


@dataclass
class Scene:
    """A worker with a run, and one that would like to have it."""

    harness: Harness
    good: Peer
    evil: Peer
    run: AssignRun

    async def state(self) -> tuple[Task | None, list[StoryEntry]]:
        await self.harness.settle()
        store = self.harness.store
        return await store.get(self.run.task_id), list(await store.story(self.run.task_id, 0))

    def forged(self, payload: str) -> pb.RunClientMessage:
        """Everything that this message can say, said of the other's run in the other's name."""
        said = {"run_id": self.run.run_id, "task_id": self.run.task_id, "worker_id": "good"}
        message = pb.RunClientMessage()
        part = getattr(message, payload)
        part.CopyFrom(filled(type(part), lambda name: said.get(name, "forged")))
        if payload == "status_update":
            part.status = common_pb2.RUN_STATUS_COMPLETED
        return message


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Harness() as harness:
        good, evil = Peer(harness.engine), Peer(harness.engine)
        await good.connect("good", slots=1)
        await harness.engine.create([TaskSpec("echo", "1")], "me")
        await harness.settle()
        [run] = good.runs
        await good.end(run.run_id, RunStatus.RUNNING)
        await evil.connect("evil")
        yield Scene(harness, good, evil, run)


async def test_the_one_who_has_the_run_is_heard(scene: Scene) -> None:
    """Else the rest would prove nothing."""
    before = await scene.state()
    await scene.good.say(*decode_from_worker(scene.forged("chat_message").SerializeToString()))
    assert await scene.state() != before


@pytest.mark.parametrize("payload", LATER)
async def test_what_is_said_of_anothers_run_changes_nothing(scene: Scene, payload: str) -> None:
    before = await scene.state()
    data = scene.forged(payload).SerializeToString()
    assert scene.run.run_id.encode() in data
    await scene.evil.say(*decode_from_worker(data))
    assert await scene.state() == before
    # Who says that it has ended a run need not be told to.
    told = [] if payload == "status_update" else [scene.run.run_id]
    assert [order.run_id for order in scene.evil.heard if isinstance(order, CancelRun)] == told
    assert not [order for order in scene.good.heard if isinstance(order, CancelRun)]


async def test_a_batch_of_it_changes_as_little(scene: Scene) -> None:
    before = await scene.state()
    batch = pb.RunClientMessage(batch=pb.RunClientBatch(messages=map(scene.forged, LATER)))
    await scene.evil.say(*decode_from_worker(batch.SerializeToString()))
    assert await scene.state() == before


async def test_a_heartbeat_in_anothers_name_is_ones_own(scene: Scene) -> None:
    await scene.evil.say(*decode_from_worker(scene.forged("heartbeat").SerializeToString()))
    await scene.harness.settle()
    beats = {view.id: view.last_heartbeat_ms for view in scene.harness.engine.workers()}
    assert beats["good"] == 0 < beats["evil"]


async def test_a_hello_that_brings_anothers_run_is_told_to_stop_it(scene: Scene) -> None:
    before = await scene.state()
    message = scene.forged("hello")
    message.hello.info.agents[0].name = "echo"
    message.hello.features[:] = ["batch", "resume"]
    again = Peer(scene.harness.engine)
    again.session = await scene.harness.engine.connect("evil", decode_hello(message.SerializeToString()), again)
    assert await scene.state() == before
    [ack] = [order for order in again.heard if isinstance(order, HelloAck)]
    assert [(order.run_id, order.verdict) for order in ack.directives] == [(scene.run.run_id, Verdict.STOP)]
    assert scene.good.error is None


async def test_a_second_hello_makes_nobody_of_one(scene: Scene) -> None:
    with pytest.raises(ProtocolViolation):
        decode_from_worker(scene.forged("hello").SerializeToString())


def test_no_other_call_that_a_worker_may_make_names_anybody() -> None:
    allowed = {method for method, roles in METHODS.items() if Role.WORKER in roles}
    requests = {method: _request(method) for method in allowed if method.startswith("/taskrun.v1.")}
    stream = requests.pop("/taskrun.v1.RunService/StreamConnect")
    assert stream is pb.RunClientMessage.DESCRIPTOR
    assert {method: NAMES & set(request.fields_by_name) for method, request in requests.items()} == {
        "/taskrun.v1.CertificateService/RenewCertificate": set()
    }


def _request(method: str) -> Descriptor:
    _, service, name = method.split("/")
    services = {
        **run_service_pb2.DESCRIPTOR.services_by_name,
        **certificate_service_pb2.DESCRIPTOR.services_by_name,
    }
    return services[service.rpartition(".")[2]].methods_by_name[name].input_type
