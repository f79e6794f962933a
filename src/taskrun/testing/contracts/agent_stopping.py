"""How an agent is stopped, what is left of it then, and what it sees while it runs."""

from __future__ import annotations

import asyncio
import time

from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentResult
from taskrun.testing.contracts.agent_acts import READY, SECRET, Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.processes import processes_of
from taskrun.testing.recording_sink import RecordingSink

#: Seconds that a busy machine may take on top of the grace.
PATIENCE = 10.0


async def stopped(run: asyncio.Task[AgentResult]) -> float:
    """Cancels a run, and returns the seconds until it ended."""
    began = time.monotonic()
    run.cancel()
    await asyncio.wait([run])
    return time.monotonic() - began


class StoppingContract(AgentTests):
    """A cancel ends the whole of a run, soon."""

    async def test_a_cancel_ends_it_within_the_grace(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        run = _begin(rehearsal, Act.HANG, sink)
        await sink.until(lambda sink: READY in sink.output)
        assert await stopped(run) < rehearsal.stage.STOP_GRACE + PATIENCE
        # It is no success, and nothing else that went wrong: it was raised, or is the result.
        assert run.cancelled() or run.result().failure is FailureKind.CANCELLED
        assert processes_of(rehearsal.run_id) == {}

    async def test_a_cancel_at_the_very_beginning_ends_it(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        run = _begin(rehearsal, Act.HANG, sink)
        await sink.until(lambda sink: sink.events)
        assert await stopped(run) < rehearsal.stage.STOP_GRACE + PATIENCE
        assert processes_of(rehearsal.run_id) == {}


class ConfinementContract(AgentTests):
    """An agent sees what is its own, and nothing of its worker's."""

    async def test_it_knows_which_run_it_is(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        request, seen = rehearsal.request(), await _look(rehearsal, sink)
        assert any(line.endswith(f"TASKRUN_RUN_ID={request.run_id}") for line in seen)
        assert any(line.endswith(f"TASKRUN_TASK_ID={request.task_id}") for line in seen)

    async def test_it_sees_no_secret_of_the_worker(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        seen = "\n".join(await _look(rehearsal, sink))
        assert (SECRET in seen, "TASKRUN_KEY" in seen) == (False, False)

    async def test_it_is_in_a_directory_of_its_own(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        place, seen = f"{rehearsal.stage.work_dir}/", await _look(rehearsal, sink)
        assert [line for line in seen if line.startswith(place)] != []
        assert any(f"HOME={place}" in line for line in seen)
        assert any(f"TMPDIR={place}" in line for line in seen)


async def _look(rehearsal: Rehearsal, sink: RecordingSink) -> list[str]:
    """What the agent sees, a line each."""
    result = await rehearsal.play(Act.LOOK, sink)
    assert result.failure is None
    return sink.output.splitlines()


def _begin(rehearsal: Rehearsal, act: Act, sink: RecordingSink) -> asyncio.Task[AgentResult]:
    return asyncio.create_task(rehearsal.agent(act).run(rehearsal.request(), sink))
