"""The client's calls, one value each: where to, what goes out, what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from taskrun.adapters.grpc.codec_certificates import (
    decode_certificate,
    decode_certificate_page,
    encode_certificate_query,
)
from taskrun.adapters.grpc.codec_common import parsed, to_bytes
from taskrun.adapters.grpc.codec_explanation import decode_explanation
from taskrun.adapters.grpc.codec_keys import decode_key, decode_new_key
from taskrun.adapters.grpc.codec_story import decode_entries
from taskrun.adapters.grpc.codec_tasks import decode_page, decode_task, encode_query, encode_spec
from taskrun.adapters.grpc.codec_workers import (
    WorkerPage,
    WorkerQuery,
    decode_token,
    decode_worker,
    decode_worker_page,
    encode_worker_query,
)
from taskrun.adapters.grpc.errors import error_of
from taskrun.adapters.grpc.frames import grouped, repeated
from taskrun.adapters.grpc.words import CLIENT_ROLE_NUMBERS
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.certificates.certificate import Certificate, CertificatePage, CertificateQuery
from taskrun.domain.errors import InvalidArgument, ProtocolViolation, TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.identity import Role
from taskrun.domain.limits import MAX_CREATE
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.api_keys import NewApiKey
from taskrun.ports.enrollment import BootstrapToken
from taskrun.v1 import certificate_service_pb2 as certificates_pb
from taskrun.v1 import key_service_pb2 as keys_pb
from taskrun.v1 import task_service_pb2 as tasks_pb
from taskrun.v1 import worker_service_pb2 as workers_pb

Question = TypeVar("Question")
Answer = TypeVar("Answer")

#: Bytes of specs that are created by one call: the server's limit is higher.
MAX_SPEC_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RemoteCall(Generic[Question, Answer]):
    """A method of the control plane, in the domain's words."""

    path: str
    #: What to send. Raises `InvalidArgument` if the question cannot be sent.
    request: Callable[[Question], bytes]
    _kind: type[Message]
    _decode: Callable[[Any], Answer]
    #: Asking once more, when nobody knows what became of the call, makes no difference: it only reads, or what it
    #: makes has a key.
    repeatable: bool = True

    def answer(self, data: bytes) -> Answer:
        """What was answered. Raises `ProtocolViolation` if it cannot be understood."""
        try:
            return self._decode(parsed(self._kind, data))
        except InvalidArgument as error:
            raise ProtocolViolation(f"The control plane's answer cannot be understood: {error.message}") from error


def _remote(
    path: str,
    encode: Callable[[Question], Message],
    kind: type[Message],
    decode: Callable[[Any], Answer],
    *,
    repeatable: bool = True,
) -> RemoteCall[Question, Answer]:
    return RemoteCall(f"/taskrun.v1.{path}", partial(to_bytes, encode), kind, decode, repeatable)


def _created(message: tasks_pb.CreateTasksResponse) -> list[Task | TaskRunError]:
    return [
        decode_task(result.task) if result.HasField("task") else error_of(result.error.code, result.error.message)
        for result in message.results
    ]


def _created_and_watched(message: tasks_pb.WatchTaskResponse) -> list[Task | Sequence[StoryEntry]]:
    steps: list[Task | Sequence[StoryEntry]] = [decode_task(message.task)] if message.HasField("task") else []
    return [*steps, decode_entries(message)] if message.updates else steps


def _revoked(message: certificates_pb.RevokeCertificatesResponse) -> Sequence[Certificate]:
    return list(map(decode_certificate, message.certificates))


CREATE: RemoteCall[TaskSpec, Task] = _remote("TaskService/CreateTask", encode_spec, tasks_pb.Task, decode_task)
#: Takes specs that are bytes already.
CREATE_MANY: RemoteCall[Sequence[bytes], list[Task | TaskRunError]] = RemoteCall(
    "/taskrun.v1.TaskService/CreateTasks", repeated, tasks_pb.CreateTasksResponse, _created
)
GET: RemoteCall[str, Task] = _remote(
    "TaskService/GetTask", lambda task_id: tasks_pb.GetTaskRequest(id=task_id), tasks_pb.Task, decode_task
)
CANCEL: RemoteCall[str, Task] = _remote(
    "TaskService/CancelTask",
    lambda task_id: tasks_pb.CancelTaskRequest(id=task_id),
    tasks_pb.Task,
    decode_task,
    # Once it has ended the second would be refused.
    repeatable=False,
)
#: Of (task id, message, fork, idempotency key). With the key it may be asked once more.
CONTINUE: RemoteCall[tuple[str, str, bool, str], Task] = _remote(
    "TaskService/ContinueTask",
    lambda asked: tasks_pb.ContinueTaskRequest(id=asked[0], message=asked[1], fork=asked[2], idempotency_key=asked[3]),
    tasks_pb.Task,
    decode_task,
)
EXPLAIN: RemoteCall[str, Explanation] = _remote(
    "TaskService/ExplainTask",
    lambda task_id: tasks_pb.ExplainTaskRequest(id=task_id),
    tasks_pb.TaskExplanation,
    decode_explanation,
)
FIND: RemoteCall[TaskQuery, TaskPage] = _remote(
    "TaskService/ListTasks", encode_query, tasks_pb.ListTasksResponse, decode_page
)
WATCH: RemoteCall[tuple[str, int], list[Task | Sequence[StoryEntry]]] = _remote(
    "TaskService/WatchTask",
    lambda start: tasks_pb.WatchTaskRequest(id=start[0], from_seq=start[1]),
    tasks_pb.WatchTaskResponse,
    lambda message: [decode_entries(message)],
)
#: The first answer holds the task.
CREATE_AND_WATCH: RemoteCall[TaskSpec, list[Task | Sequence[StoryEntry]]] = _remote(
    "TaskService/CreateAndWatchTask",
    encode_spec,
    tasks_pb.WatchTaskResponse,
    _created_and_watched,
)
WORKERS: RemoteCall[WorkerQuery, WorkerPage] = _remote(
    "WorkerService/ListWorkers", encode_worker_query, workers_pb.ListWorkersResponse, decode_worker_page
)
WORKER: RemoteCall[str, WorkerView] = _remote(
    "WorkerService/GetWorker",
    lambda worker_id: workers_pb.GetWorkerRequest(worker_id=worker_id, away=True),
    workers_pb.Worker,
    decode_worker,
)
CREATE_TOKEN: RemoteCall[tuple[str, int], BootstrapToken] = _remote(
    "WorkerService/CreateBootstrapToken",
    lambda wanted: workers_pb.CreateBootstrapTokenRequest(worker_id=wanted[0], ttl_ms=wanted[1]),
    workers_pb.CreateBootstrapTokenResponse,
    decode_token,
    # Each is another token.
    repeatable=False,
)
CERTIFICATES: RemoteCall[CertificateQuery, CertificatePage] = _remote(
    "CertificateService/ListCertificates",
    encode_certificate_query,
    certificates_pb.ListCertificatesResponse,
    decode_certificate_page,
)
#: Revoking what is revoked changes nothing, so it may be asked once more; then nothing is new.
REVOKE_WORKER: RemoteCall[str, Sequence[Certificate]] = _remote(
    "CertificateService/RevokeCertificates",
    lambda worker_id: certificates_pb.RevokeCertificatesRequest(worker_id=worker_id),
    certificates_pb.RevokeCertificatesResponse,
    _revoked,
)
REVOKE_CLIENT: RemoteCall[str, Sequence[Certificate]] = _remote(
    "CertificateService/RevokeCertificates",
    lambda name: certificates_pb.RevokeCertificatesRequest(client_name=name),
    certificates_pb.RevokeCertificatesResponse,
    _revoked,
)
REVOKE_SERIAL: RemoteCall[str, Sequence[Certificate]] = _remote(
    "CertificateService/RevokeCertificates",
    lambda serial: certificates_pb.RevokeCertificatesRequest(serial=serial),
    certificates_pb.RevokeCertificatesResponse,
    _revoked,
)
#: Each makes another certificate, and the one before is good too.
RENEW: RemoteCall[bytes, bytes] = _remote(
    "CertificateService/RenewCertificate",
    lambda csr_pem: certificates_pb.RenewCertificateRequest(csr_pem=csr_pem.decode()),
    certificates_pb.RenewCertificateResponse,
    lambda message: bytes(message.certificate_pem.encode()),
)
#: Of (name, role, ttl_ms).
CREATE_KEY: RemoteCall[tuple[str, Role, int], NewApiKey] = _remote(
    "KeyService/CreateKey",
    lambda wanted: keys_pb.CreateKeyRequest(name=wanted[0], role=CLIENT_ROLE_NUMBERS[wanted[1]], ttl_ms=wanted[2]),
    keys_pb.CreateKeyResponse,
    decode_new_key,
    # The first may have taken the name.
    repeatable=False,
)
KEYS: RemoteCall[None, list[ApiKey]] = _remote(
    "KeyService/ListKeys",
    lambda _: keys_pb.ListKeysRequest(),
    keys_pb.ListKeysResponse,
    lambda message: [decode_key(key) for key in message.keys],
)
REVOKE_KEY: RemoteCall[str, ApiKey] = _remote(
    "KeyService/RevokeKey", lambda name: keys_pb.RevokeKeyRequest(name=name), keys_pb.ApiKey, decode_key
)


def worker_query(agent: str, status: WorkerStatus | None) -> WorkerQuery:
    """The first question to `WORKERS`."""
    return WorkerQuery(agent, status, away=True)


def spec_bytes(spec: TaskSpec) -> bytes:
    """A spec for `CREATE_MANY`. Raises `InvalidArgument` if it cannot be sent."""
    data = to_bytes(encode_spec, spec)
    if len(data) > MAX_SPEC_BYTES:
        raise InvalidArgument(f"The task has {len(data)} bytes: far more than are allowed.")
    return data


def create_groups(specs: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The specs as many at a time as one `CREATE_MANY` takes."""
    return grouped(specs, MAX_SPEC_BYTES, MAX_CREATE)


def matched(answers: list[Task | TaskRunError], count: int) -> list[Task | TaskRunError]:
    """The answers, if there are as many as questions. Raises `ProtocolViolation`."""
    if len(answers) == count:
        return answers
    raise ProtocolViolation(f"The control plane gave {len(answers)} answers to {count} requests.")
