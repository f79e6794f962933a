"""What a worker's owner may have written: async functions, one for each act."""

from __future__ import annotations

import asyncio

from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    OutputGenerated,
    Permission,
    PermissionAsked,
    PlanMade,
    Retried,
    SessionInitialized,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink
from taskrun.testing.contracts.agent_acts import (
    AFTER,
    BEFORE,
    DENIED_COMMAND,
    FLOOD_BYTES,
    LONG_LINE_BYTES,
    PIECES,
    PLAN,
    READY,
    REASON,
    THOUGHT,
    TOOL_ANSWER,
    TOOL_COMMAND,
)

BLOCK = "x" * 32 * 1024
SESSIONS: dict[str, list[str]] = {}


async def stream(request: AgentRequest, sink: AgentSink) -> AgentResult:
    for piece in PIECES:
        await sink.text(piece)
    await sink.event(SessionInitialized("session-1", "of-my-own"))
    await sink.event(UsageReported("of-my-own", 1, 2))
    return AgentResult(backend=ModelBackend("me", "of-my-own"), usage=Usage(1, 2), session_id="session-1")


model = usage = session = stream


async def tool(request: AgentRequest, sink: AgentSink) -> str:
    await sink.event(ToolRequested("Echo", "1", TOOL_COMMAND))
    await sink.event(ToolCompleted("Echo", "1", result_size=len(TOOL_ANSWER)))
    return TOOL_ANSWER


async def asked(request: AgentRequest, sink: AgentSink) -> str:
    await sink.event(PermissionAsked("Echo", Permission.DENIED, "1", DENIED_COMMAND))
    return "I may not."


async def think(request: AgentRequest, sink: AgentSink) -> AgentResult:
    await sink.event(Thought(THOUGHT))
    return await stream(request, sink)


async def plan(request: AgentRequest, sink: AgentSink) -> None:
    await sink.event(PlanMade(PLAN))


async def retry(request: AgentRequest, sink: AgentSink) -> AgentResult:
    await sink.event(Retried(REASON, 1))
    return await stream(request, sink)


async def answer(request: AgentRequest, sink: AgentSink) -> AgentResult:
    await sink.event(OutputGenerated("".join(PIECES), len("".join(PIECES))))
    return await stream(request, sink)


async def fail(request: AgentRequest, sink: AgentSink) -> None:
    raise LookupError(REASON)


async def unavailable(request: AgentRequest, sink: AgentSink) -> AgentResult:
    return AgentResult(FailureKind.AGENT_UNAVAILABLE, "The model is being loaded.")


async def refuse(request: AgentRequest, sink: AgentSink) -> AgentResult:
    return AgentResult(FailureKind.REFUSED, "I do not do that.")


async def limit(request: AgentRequest, sink: AgentSink) -> AgentResult:
    return AgentResult(FailureKind.LIMIT_REACHED, "It is enough for today.")


async def bad_output(request: AgentRequest, sink: AgentSink) -> int:
    return 42


async def hang(request: AgentRequest, sink: AgentSink) -> None:
    await sink.text(READY)
    await asyncio.Event().wait()


time_out = midst = hang


async def flood(request: AgentRequest, sink: AgentSink) -> None:
    await sink.text(BEFORE)
    for _ in range(FLOOD_BYTES // len(BLOCK)):
        await sink.text(BLOCK)


async def long_line(request: AgentRequest, sink: AgentSink) -> str:
    await sink.text(BEFORE)
    await sink.text("x" * LONG_LINE_BYTES + "\n")
    return AFTER


async def remember(request: AgentRequest, sink: AgentSink) -> AgentResult:
    known = SESSIONS.get(request.session_id)
    if request.session_id and known is None:
        return AgentResult(FailureKind.AGENT_UNAVAILABLE, f"There is no session {request.session_id}.")
    goes_on = known is not None and not request.fork
    session_id = request.session_id if goes_on else f"session-{len(SESSIONS) + 2}"
    SESSIONS[session_id] = [*(known or []), request.input_json]
    await sink.text("\n".join(SESSIONS[session_id]))
    return AgentResult(session_id=session_id)


fork = remember
