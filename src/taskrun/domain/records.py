"""The values TaskRun keeps: tasks, runs, workers, and the story of a task.

All are frozen: a change makes a new value, so a record can be shared between the core, a store and a reader.
Times named `..._ms` are Unix milliseconds, UTC; 0 means that it has not happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.values import value

Labels = Mapping[str, str]
NO_LABELS: Labels = {}
#: Each worker has it for tasks to ask for, whatever it says itself: its id, as its certificate has it.
WORKER_LABEL = "taskrun.worker"


@value(frozen=True, slots=True)
class ModelBackend:
    """A model that an agent can use, as its worker announces it."""

    provider: str = ""
    model_name: str = ""
    context_window: int = 0
    supports_streaming: bool = False
    modalities: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    metadata: Labels = field(default_factory=dict)


@value(frozen=True, slots=True)
class AgentSpec:
    """An agent that a worker offers. Tasks ask for it by `name`."""

    name: str
    description: str = ""
    labels: Labels = field(default_factory=dict)
    backends: tuple[ModelBackend, ...] = ()


@value(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself. Its identity is not in here: that is its certificate."""

    hostname: str = ""
    version: str = ""
    agents: tuple[AgentSpec, ...] = ()
    labels: Labels = field(default_factory=dict)


def labels_of(info: WorkerInfo, worker_id: str) -> Labels:
    """What tasks may ask of a worker: the labels that it says, and its id, whatever it says of that."""
    return {**info.labels, WORKER_LABEL: worker_id}


@value(frozen=True, slots=True)
class Consumption:
    """Tokens by kind, none of which counts in another, and what they cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    #: US dollars, an estimate. None: nobody knows. 0 is known: it was free.
    cost_usd: float | None = None

    @property
    def is_nothing(self) -> bool:
        """No token and no cent."""
        tokens = self.input_tokens or self.output_tokens or self.cache_read_tokens or self.cache_write_tokens
        return not (tokens or self.cost_usd)

    def __add__(self, other: Consumption) -> Consumption:
        """Both together. What they cost is known if it is of both; what is nothing cost nothing."""
        costs = [part.cost_usd for part in (self, other) if part.cost_usd is not None or not part.is_nothing]
        known = [cost for cost in costs if cost is not None]
        return Consumption(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            sum(known) if known and len(known) == len(costs) else None,
        )


@value(frozen=True, slots=True)
class Usage(Consumption):
    """What a run consumed in all, as its agent reported it."""

    #: Whose it was, by the model's name, as far as the agent tells: the rest was the run's own model's. See
    #: `taskrun.domain.usage`.
    by_model: Mapping[str, Consumption] = field(default_factory=dict)


#: Whose a task is where limits and turns are concerned: pairs of a key, such as "client" or "label:team", and its
#: value. Which keys are in it says `taskrun.domain.quotas`; a key that the task has no value for is not.
Share = tuple[tuple[str, str], ...]

#: Seconds: a step of priority that no age makes up for.
FOR_EVER = 2**33


class Requirement(NamedTuple):
    """What a task needs of a worker: the agent, and labels the worker must carry (sorted pairs). And whose it is.

    Tasks with equal requirements wait in one line.
    """

    agent: str
    selector: tuple[tuple[str, str], ...] = ()
    share: Share = ()


@value(frozen=True, slots=True)
class Continuation:
    """What a follow-up goes on with."""

    #: The earlier task, which has ended.
    task_id: str
    #: The conversation that its agent had, by the agent's own id.
    session_id: str
    #: It goes on with a copy, and the session stays as it was.
    fork: bool = False


@value(frozen=True, slots=True)
class TaskSpec:
    """What was asked for. It never changes. Make one with `taskrun.domain.limits.checked_spec`."""

    agent: str
    input_json: str
    labels: Labels = field(default_factory=dict)
    #: How long one run may take in ms; 0 leaves it to the agent's own limit.
    timeout_ms: int = 0
    #: Higher goes first.
    priority: int = 0
    #: Runs that may be started in all, the first included.
    max_attempts: int = 3
    #: Failures that are tried again, beside a lost worker (which always is).
    retry_on: frozenset[FailureKind] = frozenset()
    selector: tuple[tuple[str, str], ...] = ()
    idempotency_key: str = ""
    #: How long a run may say nothing, in ms; 0 is for ever.
    silence_timeout_ms: int = 0
    #: How long the task may wait for a worker each time that it waits, in ms; 0 is for ever.
    queue_timeout_ms: int = 0
    #: A follow-up, in the conversation of an earlier task. Made by `taskrun.domain.conversation`, never by a caller.
    continues: Continuation | None = None

    @property
    def requirement(self) -> Requirement:
        """What it needs of a worker, whosoever it is."""
        return Requirement(self.agent, self.selector)

    @property
    def holder(self) -> str:
        """The id of the one worker that a follow-up can go to, for it has the session; "" of any other task."""
        return dict(self.selector).get(WORKER_LABEL, "") if self.continues else ""


@value(frozen=True, slots=True)
class Run:
    """One attempt at a task. Its id is the fencing token: late reports under an old id count for nothing."""

    id: str
    worker_id: str
    status: RunStatus
    #: From 1.
    attempt: int
    assigned_at_ms: int = 0
    started_at_ms: int = 0
    finished_at_ms: int = 0
    backend: ModelBackend | None = None
    error: str = ""
    failure: FailureKind | None = None
    #: What it consumed: so far, as its events tell, and at its end what its report says, if there is one that does.
    usage: Usage | None = None
    #: The agent's own conversation id, if it has one.
    session_id: str = ""
    #: The worker's process that has it, if its runs outlive a stream.
    process: str = ""
    #: The sequence number of what its worker says next. What it said before is stored.
    next_seq: int = 0
    #: What the story holds of it: output, events and messages.
    kept_bytes: int = 0
    #: How long after the assignment its worker was last heard of, if that worker was lost.
    lost_after_ms: int = 0
    #: Why its worker was told to stop it, while that has not reported its end.
    stop: FailureKind | None = None
    #: The ids of the follow-ups that it took, in their order.
    taken: tuple[str, ...] = ()


@value(frozen=True, slots=True)
class Task:
    """A task as it now stands. PENDING means that it waits in the queue; RUNNING that a worker has its last run."""

    id: str
    spec: TaskSpec
    status: TaskStatus
    created_by: str
    created_at_ms: int
    runs: tuple[Run, ...] = ()
    cancel_requested: bool = False
    finished_at_ms: int = 0
    #: The sequence number that the next entry of the task's story gets.
    next_seq: int = 0
    #: When it has waited long enough, this time or the last; 0 is never. See `taskrun.domain.waiting`.
    expires_at_ms: int = 0
    #: Why it failed while no worker had it, and in words. What a run failed of is told by the run.
    failure: FailureKind | None = None
    error: str = ""
    #: Whose it is. It is that for good, whatever is limited later: the line in which it waits hangs on it.
    share: Share = ()
    #: Seconds of age that a step of priority is worth; 0: no age is worth one.
    ageing: int = 0

    @property
    def requirement(self) -> Requirement:
        """The line in which it waits."""
        return Requirement(self.spec.agent, self.spec.selector, self.share)

    @property
    def rank(self) -> int:
        """Its place in the line: the least goes first, then the oldest id. In seconds, so that few have one each."""
        return self.created_at_ms // 1000 - self.spec.priority * (self.ageing or FOR_EVER)

    @property
    def waits_since_ms(self) -> int:
        """When the task last began to wait: when it was created, or when its last run ended."""
        return self.runs[-1].finished_at_ms if self.runs else self.created_at_ms

    def step(self, status: TaskStatus, runs: tuple[Run, ...], finished_at_ms: int = 0) -> Task:
        """The task one story entry later, in this status and with these runs."""
        return Task(
            self.id,
            self.spec,
            status,
            self.created_by,
            self.created_at_ms,
            runs,
            self.cancel_requested,
            finished_at_ms,
            self.next_seq + 1,
            self.expires_at_ms,
            share=self.share,
            ageing=self.ageing,
        )

    def with_run(self, run: Run) -> tuple[Run, ...]:
        """The task's runs with this as the newest value of the last one, or added if it is new."""
        runs = self.runs
        return (*runs[:-1], run) if runs and runs[-1].id == run.id else (*runs, run)


# The story of a task: what a watcher reads.


@value(frozen=True, slots=True)
class TaskChange:
    """The task took this status; `run` is the run that moved it, if one did."""

    status: TaskStatus
    cancel_requested: bool = False
    run: Run | None = None
    #: As in `Task`.
    failure: FailureKind | None = None
    error: str = ""


@value(frozen=True, slots=True)
class OutputSegment:
    """Consecutive chunks of one run's output. Chunk i has the run's sequence number `first_seq + i`."""

    run_id: str
    first_seq: int
    contents: tuple[str, ...]
    metadata: Labels = field(default_factory=dict)
    #: The run's output limit was reached: what follows was not stored.
    truncated: bool = False


@value(frozen=True, slots=True)
class RunEvent:
    """A stage of a run's execution: a tool was asked for, a session began ..."""

    run_id: str
    type: RunEventType
    metadata: Labels = field(default_factory=dict)
    id: str = ""
    #: The run's sequence number, if its worker numbers what it says.
    seq: int | None = None
    #: The number of an UNKNOWN type on the wire, for those after us who know it; 0 if not even that is known.
    number: int = 0


@value(frozen=True, slots=True)
class RunMessage:
    """What somebody said in a run's conversation."""

    run_id: str
    role: ChatRole
    content: str
    #: As in `RunEvent`.
    seq: int | None = None
    #: Of a USER's: the id of the follow-up that its worker confirms with it.
    id: str = ""


StoryBody = TaskChange | OutputSegment | RunEvent | RunMessage


@value(frozen=True, slots=True)
class StoryEntry:
    """One step of a task's story. An output segment covers one seq a chunk, `seq` being its first."""

    seq: int
    at_ms: int
    body: StoryBody

    @property
    def next_seq(self) -> int:
        body = self.body
        return self.seq + (max(1, len(body.contents)) if isinstance(body, OutputSegment) else 1)

    def since(self, seq: int) -> StoryEntry:
        """This entry without what lies before `seq`; `seq` must lie within it."""
        body, skip = self.body, seq - self.seq
        if skip <= 0 or not isinstance(body, OutputSegment):
            return self
        rest = OutputSegment(body.run_id, body.first_seq + skip, body.contents[skip:], body.metadata, body.truncated)
        return StoryEntry(seq, self.at_ms, rest)

    @property
    def is_end(self) -> bool:
        """Nothing follows this entry."""
        return isinstance(self.body, TaskChange) and self.body.status.is_terminal


# What is shown of a worker, and what is asked about tasks.


@value(frozen=True, slots=True)
class WorkerView:
    """A worker as it now stands, for lists and pages."""

    id: str
    info: WorkerInfo
    status: WorkerStatus
    #: Counted by the control plane from its assignments, never taken from a heartbeat.
    active_runs: int
    max_concurrent_runs: int
    last_heartbeat_ms: int
    connected_at_ms: int
    #: Why it is given no run at this moment although its status and its slots would do, in words that go on after its
    #: id; "" if it is.
    withheld: str = ""


@value(frozen=True, slots=True)
class TaskQuery:
    """Which tasks to list, newest first. Every filter that is given must match."""

    status: TaskStatus | None = None
    agent: str = ""
    labels: Labels = field(default_factory=dict)
    #: 1 to 1000.
    limit: int = 100
    #: The page token of the previous page; "" starts at the newest.
    page_token: str = ""


@value(frozen=True, slots=True)
class TaskPage:
    """One page of tasks. `next_page_token` is "" on the last, and on no other, however few tasks a page holds."""

    tasks: tuple[Task, ...]
    next_page_token: str = ""
