"""What executes a run on a worker."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from taskrun.domain.records import AgentSpec, Labels, ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.domain.values import value
from taskrun.ports.agent_events import AgentEvent


@value(frozen=True, slots=True)
class AgentRequest:
    """One run to execute."""

    run_id: str
    task_id: str
    #: Valid JSON, as the caller wrote it.
    input_json: str
    labels: Labels = field(default_factory=dict)
    attempt: int = 1
    #: The session that the run goes on with, as an earlier result of the same agent named it; "" = a new one.
    session_id: str = ""
    #: It goes on with a copy, and the session stays as it was.
    fork: bool = False


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

    async def event(self, event: AgentEvent) -> None:
        """What the agent does beside its output. What is longer than 8192 characters is cut."""
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
