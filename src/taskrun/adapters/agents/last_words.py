"""The end of a run that is cancelled, or out of time, before its agent came to one: the agent gets a moment to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentResult

#: An agent that was asked to break off has so long to say how far it got; then it is ended as any other.
_PATIENCE = 2.0

#: Asks the agent to break off; it will be waited for so many seconds. False if it can be asked no such thing.
BreakOff = Callable[[float], Awaitable[bool]]


async def told(story: Coroutine[Any, Any, AgentResult], break_off: BreakOff, stop_grace: float) -> AgentResult:
    """What the story comes to. If this is cancelled, the story is asked for its end, which may take half of the grace.

    A story that then ends in time is a result, with its usage and session: CANCELLED, unless it had succeeded already.
    Otherwise the cancellation is raised, and the story goes on no more.
    """
    telling = asyncio.create_task(story)
    try:
        return await asyncio.shield(telling)
    except asyncio.CancelledError:
        if result := await _last_words(telling, break_off, min(_PATIENCE, stop_grace / 2)):
            return result
        raise
    finally:
        telling.cancel()
        await asyncio.wait([telling])


async def _last_words(telling: asyncio.Task[AgentResult], break_off: BreakOff, patience: float) -> AgentResult | None:
    try:
        async with asyncio.timeout(patience):
            if not await break_off(patience):
                return None
            result = await asyncio.shield(telling)
    except Exception:
        # Whatever is wrong now: it is over.
        return None
    if result.failure is None:
        return result
    return replace(result, failure=FailureKind.CANCELLED, error="The run was cancelled.")
