"""What holds for one run of any kind in worker.toml: its stages, its time limit, and what it may go on with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.prices import Till
from taskrun.adapters.agents.stages import Work, staged
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink


class CannotRun(Exception):
    """The run ends before its work begins."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.result = AgentResult(kind, message)


async def executed(
    definition: AgentDefinition, containment: str, sink: AgentSink, work: Callable[[AgentSink], Awaitable[AgentResult]]
) -> AgentResult:
    """Does the work, told from its beginning to its end. The definition's own time limit ends it as TIMEOUT, and a
    `CannotRun` that the work raises is its result. What was consumed has the definition's prices, also where it is
    told to the sink that the work is given."""
    till = Till(definition.prices, sink)
    result = await staged(definition.kind, containment, sink, lambda: _limited(definition.timeout, lambda: work(till)))
    return till.charged(result)


def begin_anew(definition: AgentDefinition, request: AgentRequest) -> None:
    """For kinds without sessions. Raises `CannotRun` if the run is to go on with one: answering without what was said
    before would look like an answer."""
    if request.session_id:
        message = f"There is no session {request.session_id} here: the agent {definition.name} has none."
        raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message)


async def _limited(seconds: float, work: Work) -> AgentResult:
    too_late = f"The agent did not end within its limit of {seconds:g} s."
    try:
        async with asyncio.timeout(seconds) as limit:
            result = await work()
    except CannotRun as failure:
        return failure.result
    except TimeoutError:
        if not limit.expired():
            raise
        return AgentResult(FailureKind.TIMEOUT, too_late)
    # What it had done by then may still have been told, such as its usage.
    return replace(result, failure=FailureKind.TIMEOUT, error=too_late) if limit.expired() else result
