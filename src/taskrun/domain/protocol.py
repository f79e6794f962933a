"""What a worker and the control plane say to each other, free of any wire format.

Both cores speak these words; a transport adapter only carries them. WIRE.md is their specification.
"""

from __future__ import annotations

from dataclasses import field

from taskrun.domain.records import (
    Labels,
    ModelBackend,
    OutputSegment,
    RunEvent,
    RunMessage,
    Usage,
    WorkerInfo,
)
from taskrun.domain.status import FailureKind, RunStatus, WorkerStatus
from taskrun.domain.values import value

#: The addition that both sides announce when they understand batch envelopes and output in columns.
BATCH = "batch"
FEATURES: tuple[str, ...] = (BATCH,)

#: What a worker is taken to be able to do before it says so (WIRE.md).
DEFAULT_MAX_CONCURRENT_RUNS = 10

# Worker to control plane.


@value(frozen=True, slots=True)
class Hello:
    """The first message of a stream."""

    info: WorkerInfo
    features: frozenset[str] = frozenset()
    max_concurrent_runs: int = DEFAULT_MAX_CONCURRENT_RUNS
    #: The id the worker claims. Logged when it differs from the certificate's, never trusted.
    claimed_id: str = ""


@value(frozen=True, slots=True)
class Heartbeat:
    """I am alive, and this is how many runs I take at once."""

    status: WorkerStatus
    active_runs: int
    max_concurrent_runs: int
    timestamp_ms: int = 0
    metrics: Labels = field(default_factory=dict)


@value(frozen=True, slots=True)
class RunReport:
    """A run started or ended. `status` is RUNNING, COMPLETED, FAILED or CANCELLED."""

    run_id: str
    status: RunStatus
    error: str = ""
    failure: FailureKind | None = None
    backend: ModelBackend | None = None
    usage: Usage | None = None
    session_id: str = ""


#: Output, events and chat travel as the values that the story keeps.
FromWorker = Hello | Heartbeat | RunReport | OutputSegment | RunEvent | RunMessage

# Control plane to worker.


@value(frozen=True, slots=True)
class HelloAck:
    """You are in, and this is what I understand."""

    worker_id: str
    features: frozenset[str] = frozenset()


@value(frozen=True, slots=True)
class HeartbeatAck:
    """The heartbeat with this timestamp arrived."""

    timestamp_ms: int


@value(frozen=True, slots=True)
class OutputAck:
    """Output of this run is stored up to, not including, `next_seq`."""

    run_id: str
    next_seq: int


@value(frozen=True, slots=True)
class AssignRun:
    """Execute this run."""

    run_id: str
    task_id: str
    agent: str
    input_json: str
    labels: Labels = field(default_factory=dict)
    attempt: int = 1
    issued_at_ms: int = 0
    #: How long it may take, in ms; 0 = the agent's own limit.
    timeout_ms: int = 0


@value(frozen=True, slots=True)
class CancelRun:
    """Stop this run and report its end. An unknown run needs no answer."""

    run_id: str
    reason: str


@value(frozen=True, slots=True)
class ContinueRun:
    """A follow-up message for a run whose agent keeps a conversation."""

    run_id: str
    message: str


ToWorker = HelloAck | HeartbeatAck | OutputAck | AssignRun | CancelRun | ContinueRun
