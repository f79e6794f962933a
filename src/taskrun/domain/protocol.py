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
from taskrun.domain.status import FailureKind, RunStatus, Verdict, WorkerStatus
from taskrun.domain.values import value

#: The addition that both sides announce when they understand batch envelopes and output in columns.
BATCH = "batch"
#: And the one for runs that outlive the stream they began on. All that a worker says of a run is numbered then, and
#: kept until it is stored.
RESUME = "resume"
#: And the one for follow-ups: a worker goes on with a session that it is told of, and takes messages for its runs.
FOLLOW_UP = "follow_up"
FEATURES: tuple[str, ...] = (BATCH, RESUME, FOLLOW_UP)

#: What a worker keeps until it is stored, in bytes; at this it stops reading its agents. Each message and each chunk of
#: output counts its text and `MESSAGE_WEIGHT`.
KEPT_AT_MOST = 4 * 1024 * 1024
MESSAGE_WEIGHT = 256
#: A control plane tells what it has stored at the latest after so much, so that nobody stands still.
TOLD_AFTER = KEPT_AT_MOST // 4

#: What a worker is taken to be able to do before it says so (WIRE.md).
DEFAULT_MAX_CONCURRENT_RUNS = 10

# Worker to control plane.


@value(frozen=True, slots=True)
class LiveRun:
    """I still have this run of an earlier stream, and what I say next of it has this number."""

    run_id: str
    next_seq: int


@value(frozen=True, slots=True)
class Hello:
    """The first message of a stream."""

    info: WorkerInfo
    features: frozenset[str] = frozenset()
    max_concurrent_runs: int = DEFAULT_MAX_CONCURRENT_RUNS
    #: The id the worker claims. Logged when it differs from the certificate's, never trusted.
    claimed_id: str = ""
    #: Made up anew whenever the worker's program starts: runs belong to the process that began them.
    process: str = ""
    live_runs: tuple[LiveRun, ...] = ()
    #: Counts the streams of the process, from 1: of two the higher is the newer, whichever comes first. 0: not counted.
    stream: int = 0

    @property
    def resumes(self) -> bool:
        """Whether this worker's runs outlive its stream."""
        return RESUME in self.features and bool(self.process)


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
    """A run started, is being stopped, or ended. `status` is RUNNING, COMPLETED, FAILED or CANCELLED."""

    run_id: str
    status: RunStatus
    error: str = ""
    failure: FailureKind | None = None
    backend: ModelBackend | None = None
    usage: Usage | None = None
    session_id: str = ""
    #: The run's sequence number, if its worker numbers what it says.
    seq: int | None = None
    #: Of one that is RUNNING: it is being stopped, and its agent is gone within this, in ms. 0: it is not.
    gone_within_ms: int = 0


#: Output, events and chat travel as the values that the story keeps.
FromWorker = Hello | Heartbeat | RunReport | OutputSegment | RunEvent | RunMessage

# Control plane to worker.


@value(frozen=True, slots=True)
class RunDirective:
    """What is to become of a run that you have; `from_seq` is what to go on with, what comes before it is stored."""

    run_id: str
    verdict: Verdict
    from_seq: int = 0


@value(frozen=True, slots=True)
class HelloAck:
    """You are in, and this is what I understand, and what is to become of each of your live runs."""

    worker_id: str
    features: frozenset[str] = frozenset()
    directives: tuple[RunDirective, ...] = ()
    #: A worker whose runs outlive its stream has lost them to others when it was away for this long; 0 is unsaid.
    grace_ms: int = 0


@value(frozen=True, slots=True)
class HeartbeatAck:
    """The heartbeat with this timestamp arrived."""

    timestamp_ms: int


@value(frozen=True, slots=True)
class Stored:
    """All that came with the first `messages` transport messages after the hello of this stream is stored for good."""

    messages: int


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
    #: The session that the agent goes on with; "" = a new one.
    session_id: str = ""
    #: It goes on with a copy of it.
    fork: bool = False


@value(frozen=True, slots=True)
class CancelRun:
    """Stop this run and report its end. An unknown run needs no answer; of one that takes its time to stop the worker
    says how long, each time that it is told."""

    run_id: str
    reason: str


@value(frozen=True, slots=True)
class ContinueRun:
    """A follow-up for a run that goes on: the agent hears it when its turn is over, in the same session.

    The worker confirms that it has taken it by a `RunMessage` of the USER with this id, and takes each id once.
    """

    run_id: str
    message: str
    #: "" from a control plane of old.
    id: str = ""
    #: When the control plane took it, Unix ms.
    timestamp_ms: int = 0


ToWorker = HelloAck | HeartbeatAck | Stored | RunDirective | AssignRun | CancelRun | ContinueRun
