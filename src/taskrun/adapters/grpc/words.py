"""The enums: domain words to wire numbers and back. An unknown number is refused by name, never guessed at.

The type of a run event is the exception: it may be of a later version, and nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES as ROLES_OF_CLIENTS
from taskrun.domain.status import (
    ChatRole,
    FailureKind,
    RunEventType,
    RunStatus,
    TaskStatus,
    Verdict,
    Word,
    WorkerStatus,
)
from taskrun.v1 import common_pb2 as pb
from taskrun.v1.key_service_pb2 import ClientRole
from taskrun.v1.run_service_pb2 import RunDirective

W = TypeVar("W", bound=Word)


class Words(dict[int, Any]):
    """The words by their numbers on the wire."""

    def __init__(self, what: str, numbers: dict[Any, Any]) -> None:
        super().__init__((number, word) for word, number in numbers.items())
        self._what = what

    def __missing__(self, number: int) -> Any:
        raise InvalidArgument(f"{number} is no {self._what}." if number else f"The {self._what} is missing.")


def _numbers(wire: Any, prefix: str, words: Iterable[W]) -> dict[W | None, Any]:
    return {word: wire.Value(f"{prefix}_{word.name}") for word in words}


# To the wire. The values are what protobuf's generated types call `ValueType`, one for each enum.

TASK_STATUS_NUMBERS = _numbers(pb.TaskStatus, "TASK_STATUS", TaskStatus)
RUN_STATUS_NUMBERS = _numbers(pb.RunStatus, "RUN_STATUS", RunStatus)
CHAT_ROLE_NUMBERS = _numbers(pb.ChatRole, "CHAT_ROLE", ChatRole)
EVENT_TYPE_NUMBERS = _numbers(pb.RunEventType, "RUN_EVENT_TYPE", set(RunEventType) - {RunEventType.UNKNOWN})
FAILURE_KIND_NUMBERS = _numbers(pb.FailureKind, "FAILURE_KIND", FailureKind)
VERDICT_NUMBERS = _numbers(RunDirective.Verdict, "VERDICT", Verdict)
CLIENT_ROLE_NUMBERS = _numbers(ClientRole, "CLIENT_ROLE", ROLES_OF_CLIENTS)
WORKER_STATUS_NUMBERS = _numbers(pb.WorkerStatus, "WORKER_STATUS", set(WorkerStatus) - {WorkerStatus.LOST})

#: Numbers from here on are additions, which an old peer does not know (WIRE.md).
FIRST_ADDITION = 100

# From the wire.

TASK_STATUSES = Words("task status", TASK_STATUS_NUMBERS)
RUN_STATUSES = Words("run status", RUN_STATUS_NUMBERS)
CHAT_ROLES = Words("chat role", CHAT_ROLE_NUMBERS)
EVENT_TYPES = {number: word for word, number in EVENT_TYPE_NUMBERS.items() if word}
FAILURE_KINDS = Words("failure kind", FAILURE_KIND_NUMBERS)
VERDICTS = Words("verdict", VERDICT_NUMBERS)
CLIENT_ROLES = Words("role", CLIENT_ROLE_NUMBERS)
WORKER_STATUSES = Words("worker status", WORKER_STATUS_NUMBERS)

#: What a worker may report of a run: the states before RUNNING are the control plane's to give.
REPORTED_STATUSES = Words(
    "run status that a worker reports",
    {word: RUN_STATUS_NUMBERS[word] for word in set(RunStatus) - {RunStatus.PENDING, RunStatus.ASSIGNED}},
)

# Where a word may be left out, 0 stands for None.

TASK_STATUS_NUMBERS[None] = FAILURE_KIND_NUMBERS[None] = 0
OPTIONAL_TASK_STATUSES = Words("task status", TASK_STATUS_NUMBERS)
OPTIONAL_FAILURE_KINDS = Words("failure kind", FAILURE_KIND_NUMBERS)

# A lost worker is never shown; until it is forgotten it is one whose stream broke.

WORKER_STATUS_NUMBERS[WorkerStatus.LOST] = WORKER_STATUS_NUMBERS[WorkerStatus.DISCONNECTED]
