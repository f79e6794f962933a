"""Two clients and one worker: who has few tasks waits no longer than its share."""

from __future__ import annotations

import asyncio

from taskrun.adapters.agents.function import FunctionAgent
from taskrun.domain.quotas import Limit, Policy
from taskrun.domain.records import TaskSpec
from taskrun.domain.status import TaskStatus
from taskrun.ports.agents import AgentRequest, AgentSink
from taskrun.testing.harness import Harness

MANY, FEW = 10_000, 10


async def test_a_client_with_ten_tasks_waits_for_no_more_than_ten_of_anothers_ten_thousand() -> None:
    begun: list[str] = []

    async def note(request: AgentRequest, sink: AgentSink) -> None:
        begun.append(request.input_json)
        if len(begun) > 2 * FEW:
            await asyncio.Event().wait()

    async with Harness(policy=Policy(fair_by="client")) as plane:
        await plane.engine.create([TaskSpec("note", '"many"')] * MANY, "client:many")
        few = await plane.engine.create([TaskSpec("note", '"few"')] * FEW, "client:few")
        await plane.start_worker("w", [FunctionAgent("note", note)], max_concurrent_runs=1)
        tasks = [await plane.engine.get(task.id) for task in few if not isinstance(task, Exception)]
    assert len(tasks) == FEW
    assert {task.status for task in tasks} == {TaskStatus.COMPLETED}
    assert begun.count('"many"') == FEW + 1


async def test_limits_change_while_a_control_plane_runs() -> None:
    async with Harness() as plane:
        plane.engine.rule(Policy([Limit("client", waiting=1)]))
        [first, second] = await plane.engine.create([TaskSpec("nobody", "1")] * 2, "client:ann")
        assert not isinstance(first, Exception)
        assert isinstance(second, Exception)
        assert "1 of at most 1 tasks waiting" in str(second)
