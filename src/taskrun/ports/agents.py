"""What executes a run on a worker."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from taskrun.domain.records import AgentSpec, Labels, ModelBackend, Usage
from taskrun.domain.status import FailureKind, RunEventType
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class AgentRequest:
    """One run to execute."""

    run_id: str
    task_id: str
    #: Valid JSON, as the caller wrote it.
    input_json: str
    labels: Labels = field(default_factory=dict)
    attempt: int = 1


@value(frozen=True, slots=True)
class AgentResult:
    """How a run ended. It succeeded if `failure` is None: an agent says so itself, a clean exit alone is not enough."""

    failure: FailureKind | None = None
    #: For people; "" on success.
    error: str = ""
    backend: ModelBackend | None = None
    usage: Usage | None = None
    session_id: str = ""


class AgentSink(Protocol):
    """Where a running agent's output and events go. Awaiting is the backpressure: it waits while the outbox is full."""

    async def text(self, text: str) -> None:
        """A piece of output. An empty one is nothing."""
        ...

    async def event(self, type: RunEventType, **metadata: str) -> None:
        """A stage of the execution."""
        ...


class Agent(Protocol):
    """Executes runs. One instance serves many runs at once."""

    @property
    def spec(self) -> AgentSpec:
        """What the worker announces."""
        ...

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        """Executes one run to its end and returns how it went; an expected failure is a result, not an exception.

        Cancelling this coroutine stops the run: it ends, by CancelledError or a result, only when no process of
        the run is left, at most the agent's stop grace (10 s) later.
        """
        ...
