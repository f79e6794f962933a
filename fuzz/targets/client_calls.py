"""The calls of clients: several requests, one after the other, to a control plane that has a task."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

from google.protobuf.message import DecodeError, Message

from fuzz.enrolling import desk, key_ring
from fuzz.loop import in_the_loop
from fuzz.target import Target
from fuzz.wire import AGENT, TASK, framed, unframed
from taskrun.adapters.grpc import access
from taskrun.adapters.grpc.key_service import KeyService
from taskrun.adapters.grpc.task_service import TaskService
from taskrun.adapters.grpc.worker_service import WorkerService
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.page_tokens import page_token
from taskrun.domain.errors import TaskRunError
from taskrun.domain.identity import Identity, Role
from taskrun.domain.records import TaskSpec
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import RecordingTelemetry
from taskrun.v1 import key_service_pb2 as keys
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import worker_service_pb2 as workers

#: Of each method with one answer, a good request; a call begins with the method's place in here.
_REQUESTS: dict[str, Message] = {
    "CreateTask": tasks.CreateTaskRequest(
        agent_name=AGENT,
        input_json='{"text": "hello"}',
        labels={"team": "docs"},
        worker_selector={"zone": "fra"},
        priority=5,
        timeout_ms=60_000,
        max_attempts=3,
        idempotency_key="key-1",
    ),
    "CreateTasks": tasks.CreateTasksRequest(tasks=[tasks.CreateTaskRequest(agent_name=AGENT, input_json="1")]),
    "GetTask": tasks.GetTaskRequest(id=TASK),
    "ListTasks": tasks.ListTasksRequest(agent_filter=AGENT, limit=10, page_token=page_token(TASK)),
    "CancelTask": tasks.CancelTaskRequest(id=TASK),
    "ContinueTask": tasks.ContinueTaskRequest(id=TASK, message="And then?", idempotency_key="key-2"),
    "ExplainTask": tasks.ExplainTaskRequest(id=TASK),
    "ListWorkers": workers.ListWorkersRequest(agent_name=AGENT, limit=10, page_token="w-1"),
    "GetWorker": workers.GetWorkerRequest(worker_id="w-1"),
    "CreateBootstrapToken": workers.CreateBootstrapTokenRequest(worker_id="w-2", ttl_ms=60_000),
    "CreateKey": keys.CreateKeyRequest(name="grafana", role=keys.CLIENT_ROLE_READ, ttl_ms=60_000),
    "ListKeys": keys.ListKeysRequest(),
    "RevokeKey": keys.RevokeKeyRequest(name="grafana"),
}
_METHODS = tuple(_REQUESTS)


async def _take(case: bytes) -> None:
    ids, store = count(1), MemoryStore()
    plane = ControlPlane(store, JumpingClock(), lambda: f"id-{next(ids)}", RecordingTelemetry(), ControlPlaneTimers())
    await plane.start()
    await plane.create([TaskSpec(AGENT, "1")], "somebody")
    access._CALLER.set(Identity(Role.ADMIN, "admin", 2**50, "1"))
    services = (TaskService(plane), WorkerService(plane, await desk()), KeyService(await key_ring()))
    handlers: dict[str, Any] = {name: handler for service in services for name, handler in service.handlers().items()}
    for call in unframed(case):
        with suppress(TaskRunError, DecodeError):
            handler = handlers[_METHODS[call[0] % len(_METHODS) if call else 0]]
            answer = await handler.unary_unary(handler.request_deserializer(call[1:]), None)
            handler.response_serializer(answer)
    assert plane.ready
    await plane.stop()
    await store.close()


_CALLS = [bytes((place,)) + _REQUESTS[name].SerializeToString() for place, name in enumerate(_METHODS)]

TARGET = Target(
    in_the_loop(_take),
    {"all": framed(_CALLS), **{name: framed([call]) for name, call in zip(_METHODS, _CALLS, strict=True)}},
)
