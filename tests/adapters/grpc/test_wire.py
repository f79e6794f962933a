"""The part of the wire that never changes: workers and clients of the system that TaskRun descends from rest on it.

Our own code is generated anew with every change, so it would not notice a number that moved. This table would.
"""

from __future__ import annotations

import re

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor

from taskrun.v1 import common_pb2, run_service_pb2, task_service_pb2, worker_service_pb2

#: What TaskRun adds has numbers from here on.
FIRST_ADDED = 100

ENUMS = {
    "TaskStatus": "UNSPECIFIED PENDING RUNNING COMPLETED FAILED CANCELLED",
    "RunStatus": "UNSPECIFIED PENDING ASSIGNED RUNNING COMPLETED FAILED CANCELLED",
    "WorkerStatus": "UNSPECIFIED IDLE BUSY DRAINING ERROR",
    "ChatRole": "UNSPECIFIED USER ASSISTANT SYSTEM",
    "RunEventType": "UNSPECIFIED EXECUTION_STARTED SESSION_INITIALIZED TOOL_REQUESTED TOOL_COMPLETED"
    " OUTPUT_GENERATED EXECUTION_COMPLETED EXECUTION_FAILED",
}

#: By file. Fields have the numbers 1, 2, 3 ... in this order.
MESSAGES = {
    "common": {
        "ModelBackend": "provider: string, model_name: string, context_window: uint32, supports_streaming: bool,"
        " modalities: repeated string, tools: repeated string, metadata: map string",
        "AgentSpec": "name: string, description: string, labels: map string, backends: repeated ModelBackend",
        "ChatMessage": "role: ChatRole, content: string, timestamp_ms: int64",
        "RunEvent": "id: string, run_id: string, task_id: string, event_type: RunEventType, timestamp_ms: int64,"
        " metadata: map string",
        "WorkerInfo": "worker_id: string, hostname: string, version: string, agents: repeated AgentSpec,"
        " labels: map string",
    },
    "task_service": {
        "Task": "id: string, agent_name: string, input_json: string, status: TaskStatus, created_by: string,"
        " created_at_ms: int64, labels: map string, runs: repeated RunSummary",
        "RunSummary": "run_id: string, worker_id: string, status: RunStatus, started_at_ms: int64,"
        " finished_at_ms: int64, backend_used: ModelBackend, error_message: string",
        "CreateTaskRequest": "agent_name: string, input_json: string, created_by: string, labels: map string",
        "GetTaskRequest": "id: string",
        "ListTasksRequest": "status_filter: TaskStatus, agent_filter: string, limit: int32",
        "ListTasksResponse": "tasks: repeated Task",
        "CancelTaskRequest": "id: string",
    },
    "worker_service": {
        "Worker": "worker_id: string, hostname: string, version: string, status: WorkerStatus,"
        " agents: repeated AgentSpec, labels: map string, active_runs: uint32, max_concurrent_runs: uint32,"
        " last_heartbeat_ms: int64",
        "ListWorkersRequest": "agent_name: optional string, status: optional WorkerStatus",
        "ListWorkersResponse": "workers: repeated Worker",
        "GetWorkerRequest": "worker_id: string",
    },
    "run_service": {
        "RunClientMessage": "hello: payload WorkerHello, heartbeat: payload WorkerHeartbeat,"
        " status_update: payload RunStatusUpdate, output_chunk: payload RunOutputChunk, event: payload RunEvent,"
        " chat_message: payload RunChatMessage",
        "WorkerHello": "info: WorkerInfo",
        "WorkerHeartbeat": "worker_id: string, status: WorkerStatus, active_runs: uint32,"
        " max_concurrent_runs: uint32, metrics: map string, timestamp_ms: int64",
        "RunStatusUpdate": "run_id: string, status: RunStatus, error_message: string, backend_used: ModelBackend,"
        " timestamp_ms: int64",
        "RunOutputChunk": "run_id: string, seq: uint64, content: string, is_final: bool, metadata: map string,"
        " timestamp_ms: int64",
        "RunChatMessage": "run_id: string, message: ChatMessage",
        "RunServerMessage": "assign_run: payload RunAssignment, cancel_run: payload CancelRun,"
        " ack: payload ServerAck, continue_run: payload ContinueRun",
        "RunAssignment": "run_id: string, task_id: string, agent_name: string, input_json: string,"
        " labels: map string, issued_at_ms: int64, deadline_ms: int64",
        "CancelRun": "run_id: string, reason: string",
        "ServerAck": "ack_type: string, ref_id: string",
        "ContinueRun": "run_id: string, message: string, timestamp_ms: int64",
    },
}

METHODS = {
    "TaskService": {
        "CreateTask": "CreateTaskRequest -> Task",
        "GetTask": "GetTaskRequest -> Task",
        "ListTasks": "ListTasksRequest -> ListTasksResponse",
        "CancelTask": "CancelTaskRequest -> Task",
    },
    "WorkerService": {
        "ListWorkers": "ListWorkersRequest -> ListWorkersResponse",
        "GetWorker": "GetWorkerRequest -> Worker",
    },
    "RunService": {"StreamConnect": "stream RunClientMessage -> stream RunServerMessage"},
}

FILES: dict[str, FileDescriptor] = {
    "common": common_pb2.DESCRIPTOR,
    "task_service": task_service_pb2.DESCRIPTOR,
    "worker_service": worker_service_pb2.DESCRIPTOR,
    "run_service": run_service_pb2.DESCRIPTOR,
}

#: As protobuf numbers them.
SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


@pytest.mark.parametrize("file", FILES)
def test_the_package_and_the_files_keep_their_names(file: str) -> None:
    assert (FILES[file].name, FILES[file].package) == (f"taskrun/v1/{file}.proto", "taskrun.v1")


@pytest.mark.parametrize("name", ENUMS)
def test_a_word_keeps_its_number(name: str) -> None:
    enum = FILES["common"].enum_types_by_name[name]
    assert [value.name for value in old_values(enum)] == [f"{prefix(name)}_{word}" for word in ENUMS[name].split()]
    assert [value.number for value in old_values(enum)] == list(range(len(ENUMS[name].split())))


@pytest.mark.parametrize(("file", "name"), [(file, name) for file in MESSAGES for name in MESSAGES[file]])
def test_a_field_keeps_its_name_number_and_type(file: str, name: str) -> None:
    fields = list(old_fields(FILES[file].message_types_by_name[name]))
    assert ", ".join(f"{field.name}: {kind(field)}" for field in fields) == MESSAGES[file][name]
    assert [field.number for field in fields] == list(range(1, len(fields) + 1))


@pytest.mark.parametrize(("service", "method"), [(name, method) for name in METHODS for method in METHODS[name]])
def test_a_method_keeps_what_it_takes_and_gives(service: str, method: str) -> None:
    (found,) = (file.services_by_name[service] for file in FILES.values() if service in file.services_by_name)
    described = found.methods_by_name[method]
    asked = "stream " * described.client_streaming + described.input_type.name
    given = "stream " * described.server_streaming + described.output_type.name
    assert f"{asked} -> {given}" == METHODS[service][method]


def prefix(enum: str) -> str:
    """TaskStatus -> TASK_STATUS"""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", enum).upper()


def old_values(enum: EnumDescriptor) -> list[EnumValueDescriptor]:
    return sorted((value for value in enum.values if value.number < FIRST_ADDED), key=lambda value: value.number)


def old_fields(message: Descriptor) -> list[FieldDescriptor]:
    return sorted((field for field in message.fields if field.number < FIRST_ADDED), key=lambda field: field.number)


def kind(field: FieldDescriptor) -> str:
    """The type as the table has it, after what makes it more than a plain field."""
    entry = field.message_type
    if entry and entry.GetOptions().map_entry:
        assert kind(entry.fields_by_name["key"]) == "string"
        return f"map {kind(entry.fields_by_name['value'])}"
    named = field.message_type or field.enum_type
    return f"{belonging(field)}{named.name if named else SCALARS[field.type]}"


def belonging(field: FieldDescriptor) -> str:
    if field.is_repeated:
        return "repeated "
    if field.containing_oneof is None:
        return ""
    # protobuf makes a oneof of its own, `_name`, of each optional field.
    return "optional " if field.containing_oneof.name == f"_{field.name}" else f"{field.containing_oneof.name} "
