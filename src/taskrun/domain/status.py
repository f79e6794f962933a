"""The words for states and failures. Their values are what every surface shows (`RUNNING`)."""

from __future__ import annotations

from enum import Enum

_ENDS = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
_AT_WORK = frozenset({"IDLE", "BUSY"})
_AWAY = frozenset({"DISCONNECTED", "LOST"})


class Word(Enum):
    """An enum whose members hash by identity: they are keys of every table, and Enum's own hash is slow."""

    __hash__ = object.__hash__


class TaskStatus(Word):
    """Where a task is in its life; see `taskrun.domain.machines.task` for the legal moves."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    #: Terminal states never change again.
    is_terminal: bool

    def __init__(self, word: str) -> None:
        self.is_terminal = word in _ENDS


class RunStatus(Word):
    """Where one attempt at a task is; see `taskrun.domain.machines.run` for the legal moves."""

    PENDING = "PENDING"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    is_terminal: bool

    def __init__(self, word: str) -> None:
        self.is_terminal = word in _ENDS


class WorkerStatus(Word):
    """How a worker stands; see `taskrun.domain.machines.worker` for the legal moves."""

    IDLE = "IDLE"
    BUSY = "BUSY"
    DRAINING = "DRAINING"
    ERROR = "ERROR"
    DISCONNECTED = "DISCONNECTED"
    LOST = "LOST"

    #: Its stream lives.
    is_connected: bool
    #: It may be given a run, if it has a free slot.
    takes_runs: bool

    def __init__(self, word: str) -> None:
        self.is_connected = word not in _AWAY
        self.takes_runs = word in _AT_WORK


class FailureKind(Word):
    """Why a run did not complete, or a task without one. The kind decides about a retry; free text is for people."""

    AGENT_ERROR = "agent_error"
    AGENT_UNAVAILABLE = "agent_unavailable"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    CANCELLED = "cancelled"
    #: The worker did not take the run, or never heard of it: it never started, so it does not count as an attempt.
    REJECTED = "rejected"
    REFUSED = "refused"
    LIMIT_REACHED = "limit_reached"
    BAD_OUTPUT = "bad_output"
    INTERNAL = "internal"
    #: The task took several workers with it soon after it began: it is not given to another.
    POISON = "poison"
    #: The task waited in the queue for longer than it may. No run ends so.
    QUEUE_TIMEOUT = "queue_timeout"


class Verdict(Word):
    """What becomes of a run that a worker brings along on a new stream."""

    GO_ON = "GO_ON"
    #: It is over, or another worker's.
    STOP = "STOP"
    #: Nobody has heard of it.
    UNKNOWN = "UNKNOWN"


class RunEventType(Word):
    """The stages of an execution that an agent reports beside its output.

    The list grows with what agents can do, so a peer or a record of a later version may have a type that this one does
    not know. Nothing is decided by an event: such a one is UNKNOWN, and is kept and passed on like any other.
    """

    EXECUTION_STARTED = "EXECUTION_STARTED"
    SESSION_INITIALIZED = "SESSION_INITIALIZED"
    TOOL_REQUESTED = "TOOL_REQUESTED"
    TOOL_COMPLETED = "TOOL_COMPLETED"
    OUTPUT_GENERATED = "OUTPUT_GENERATED"
    EXECUTION_COMPLETED = "EXECUTION_COMPLETED"
    EXECUTION_FAILED = "EXECUTION_FAILED"
    THOUGHT = "THOUGHT"
    PLAN = "PLAN"
    PERMISSION_ASKED = "PERMISSION_ASKED"
    USAGE = "USAGE"
    RETRY = "RETRY"
    LOG = "LOG"
    #: Of a later version.
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> RunEventType:
        return cls.UNKNOWN


class ChatRole(Word):
    """Who said a message of a conversation."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"
    SYSTEM = "SYSTEM"
