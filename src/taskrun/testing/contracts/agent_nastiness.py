"""What is left of an agent that does all it can to stay: it ignores signals, forks twice, gets away into a session of
its own, drops its environment, and holds its output open.

Each test is played once; with the environment variable AGENT_ROUNDS so many times.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from subprocess import PIPE

import pytest

from taskrun.domain.status import FailureKind
from taskrun.testing.clock import jump
from taskrun.testing.contracts.agent_acts import NASTY_COMMAND, NASTY_PROCESSES, Act
from taskrun.testing.contracts.agent_failing import LIMIT
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.contracts.agent_stopping import PATIENCE, stopped
from taskrun.testing.processes import processes_of, until_there_are, until_there_is_nothing
from taskrun.testing.recording_sink import RecordingSink

ROUNDS = int(os.environ.get("AGENT_ROUNDS", "1"))

#: Seconds after a worker's death in which its agents end, on a busy machine too.
_PROMISED = 2.0


class NastinessContract(AgentTests):
    """Whatever ends a run, nothing of it is left."""

    @pytest.fixture(params=range(ROUNDS))
    def round(self, request: pytest.FixtureRequest) -> object:
        """Once more."""
        return request.param

    @pytest.mark.usefixtures("round")
    async def test_a_cancel_leaves_no_process(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        run = asyncio.create_task(rehearsal.play(Act.NASTY, sink))
        await _until_it_is_nasty(rehearsal, run)
        assert await stopped(run) < rehearsal.stage.STOP_GRACE + PATIENCE
        assert processes_of(rehearsal.run_id) == {}

    @pytest.mark.usefixtures("round")
    async def test_a_time_limit_leaves_no_process(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        agent = rehearsal.agent(Act.NASTY, timeout=LIMIT)
        run = asyncio.create_task(agent.run(rehearsal.request(), sink))
        await _until_it_is_nasty(rehearsal, run)
        jump(LIMIT)
        assert (await run).failure is FailureKind.TIMEOUT
        assert processes_of(rehearsal.run_id) == {}

    @pytest.mark.usefixtures("round")
    async def test_a_killed_worker_leaves_no_process(self, rehearsal: Rehearsal) -> None:
        order = rehearsal.order(Act.NASTY)
        words = [sys.executable, "-m", "taskrun.testing.lonely_worker"]
        worker = await asyncio.create_subprocess_exec(*words, stdin=PIPE)
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(order).encode())
        worker.stdin.close()
        death = asyncio.create_task(worker.wait())
        await _until_it_is_nasty(rehearsal, death)
        worker.kill()
        await death
        async with asyncio.timeout(_PROMISED):
            await until_there_is_nothing(rehearsal.run_id)


async def _until_it_is_nasty(rehearsal: Rehearsal, run: asyncio.Task[object]) -> None:
    """Returns once all of its processes are there; a run that ends before is an error."""
    nasty = asyncio.create_task(until_there_are(rehearsal.run_id, NASTY_COMMAND, NASTY_PROCESSES))
    await asyncio.wait([run, nasty], return_when=asyncio.FIRST_COMPLETED)
    nasty.cancel()
    assert not run.done(), run.result()
