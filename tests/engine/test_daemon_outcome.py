"""What a report says of an agent's result: nothing that a control plane would not take in."""

from __future__ import annotations

import asyncio

from taskrun.domain.limits import MAX_NAME
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import ModelBackend
from taskrun.engine.daemon_outcome import outcome
from taskrun.ports.agents import AgentRequest, AgentResult

REQUEST = AgentRequest("r-1", "t-1", "1")


async def report_of(result: AgentResult) -> RunReport:
    async def end() -> AgentResult:
        return result

    task = asyncio.create_task(end())
    await task
    return outcome(REQUEST, task, None)


async def test_a_session_whose_id_is_too_long_to_be_told_cannot_be_gone_on_with() -> None:
    assert (await report_of(AgentResult(session_id="s" * MAX_NAME))).session_id == "s" * MAX_NAME
    assert (await report_of(AgentResult(session_id="s" * (MAX_NAME + 1)))).session_id == ""


async def test_a_backend_s_names_are_cut_and_a_window_that_cannot_be_is_unknown() -> None:
    told = ModelBackend("p" * 300, "m" * 100_000, 2**32, True, ("text",))
    report = await report_of(AgentResult(backend=told))
    assert report.backend is not None
    assert len(report.backend.provider) == len(report.backend.model_name) == MAX_NAME
    assert (report.backend.context_window, report.backend.supports_streaming) == (0, True)


async def test_a_backend_that_can_be_told_is_told_as_it_is() -> None:
    told = ModelBackend("p", "m", 2**32 - 1, True, ("text",), ("Bash",), {"a": "b"})
    assert (await report_of(AgentResult(backend=told))).backend == told
