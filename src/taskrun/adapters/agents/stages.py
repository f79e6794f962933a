"""The first and the last event of a run, whatever kind of agent executes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from taskrun.ports.agent_events import ExecutionCompleted, ExecutionFailed, ExecutionStarted
from taskrun.ports.agents import AgentResult, AgentSink

#: What a run comes to, once it is awaited.
Work = Callable[[], Awaitable[AgentResult]]


async def staged(kind: str, containment: str, sink: AgentSink, work: Work) -> AgentResult:
    """Does the work, told from its beginning to its end. `containment` is "" where nothing holds a run together.

    A cancellation that the work raises has no last event: the run's status says it.
    """
    await sink.event(ExecutionStarted(kind, containment))
    result = await work()
    await sink.event(ExecutionFailed(result.failure) if result.failure else ExecutionCompleted())
    return result
