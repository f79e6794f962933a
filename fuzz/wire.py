"""Real messages of both sides, and whether what a worker says gets through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskrun.adapters.grpc.codec_runs import decode_from_worker
from taskrun.adapters.grpc.speech import BatchSpeech, OldSpeech
from taskrun.domain.protocol import (
    FEATURES,
    AssignRun,
    CancelRun,
    ContinueRun,
    FromWorker,
    Heartbeat,
    HeartbeatAck,
    Hello,
    HelloAck,
    RunDirective,
    RunReport,
    Stored,
    ToWorker,
)
from taskrun.domain.records import (
    AgentSpec,
    Consumption,
    ModelBackend,
    OutputSegment,
    RunEvent,
    RunMessage,
    Usage,
    WorkerInfo,
)
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, Verdict, WorkerStatus

WORKER = "w-1"
AGENT = "general"
#: The ids of the first task and of its run, in a world whose ids are counted.
TASK, RUN = "id-1", "id-2"

_BACKEND = ModelBackend("anthropic", "a-model", 200_000, True, ("text",), ("Bash",), {"tier": "2"})
_USAGE = Usage(1, 2, 3, 4, 0.5, {"a-model": Consumption(1, 2, 3, 4, 0.5)})

HELLO = Hello(
    WorkerInfo("host-1", "0.1.0", (AgentSpec(AGENT, "Answers.", {"tier": "2"}, (_BACKEND,)),), {"zone": "fra"}),
    frozenset(FEATURES),
    10,
    WORKER,
    "process-1",
    (),
    1,
)

#: All that a worker says of a run, and of itself.
SAID: Sequence[FromWorker] = (
    Heartbeat(WorkerStatus.IDLE, 0, 10, 1_700_000_000_000, {"load": "0.5"}),
    RunReport(RUN, RunStatus.RUNNING, seq=0),
    RunEvent(RUN, RunEventType.TOOL_REQUESTED, {"tool": "Bash"}, "event-1", 1),
    RunMessage(RUN, ChatRole.ASSISTANT, "A word.", 2, "message-1"),
    OutputSegment(RUN, 3, ("one ", "two ", "three"), {"a": "b"}),
    RunReport(RUN, RunStatus.FAILED, "why", FailureKind.AGENT_ERROR, _BACKEND, _USAGE, "session-1", 6),
)

#: All that a control plane says.
ORDERS: Sequence[ToWorker] = (
    HelloAck(WORKER, frozenset(FEATURES), (RunDirective("run-0", Verdict.STOP, 0),), 120_000),
    AssignRun(RUN, TASK, AGENT, '{"text": "hello"}', {"team": "docs"}, 1, 1_700_000_000_000, 60_000, "", False),
    ContinueRun(RUN, "And then?", "message-2", 1_700_000_000_000),
    HeartbeatAck(1_700_000_000_000),
    Stored(2),
    CancelRun(RUN, "enough"),
)


def said_in_batches() -> list[bytes]:
    """Everything as a new worker says it."""
    return list(BatchSpeech(WORKER).frames(SAID, 1_700_000_000_000))


def said_one_by_one() -> list[bytes]:
    """Everything as an old worker says it."""
    speech = OldSpeech(WORKER)
    speech.assigned(AssignRun(RUN, TASK, AGENT, "1"))
    return list(speech.frames(SAID, 1_700_000_000_000))


def gets_through(messages: Iterable[FromWorker]) -> None:
    """A worker can say this, and a control plane takes it in. Raises if one of them cannot."""
    for frame in BatchSpeech(WORKER).frames(list(messages), 1_700_000_000_000):
        decode_from_worker(frame)


def framed(frames: Iterable[bytes]) -> bytes:
    """Several messages as one case: each with its length before it, of three bytes."""
    return b"".join(len(frame).to_bytes(3, "big") + frame for frame in frames)


def unframed(case: bytes) -> list[bytes]:
    """The messages of a case. Any bytes are some: the last may be shorter than was said."""
    frames = []
    while case:
        length = int.from_bytes(case[:3], "big")
        frames.append(case[3 : 3 + length])
        case = case[3 + length :]
    return frames
