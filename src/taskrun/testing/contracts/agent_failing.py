"""How an agent fails: by its kind, and never as a success."""

from __future__ import annotations

import asyncio

from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ExecutionFailed
from taskrun.ports.agents import AgentResult
from taskrun.testing.clock import jump
from taskrun.testing.contracts.agent_acts import BEFORE, PIECES, READY, REASON, Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.recording_sink import RecordingSink

#: Seconds until an agent is ended by its definition; nobody waits for them.
LIMIT = 3600.0


class FailureContract(AgentTests):
    """The kind of a failure decides about a retry, and its words are for people."""

    async def test_what_the_agent_calls_a_failure_is_one_in_its_words(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.FAIL, sink)
        assert (result.failure, REASON in result.error) == (FailureKind.AGENT_ERROR, True)

    async def test_what_cannot_be_had_is_agent_unavailable(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await _fails(rehearsal, Act.UNAVAILABLE, FailureKind.AGENT_UNAVAILABLE, sink)

    async def test_what_is_declined_is_refused(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await _fails(rehearsal, Act.REFUSE, FailureKind.REFUSED, sink)

    async def test_what_is_used_up_is_limit_reached(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await _fails(rehearsal, Act.LIMIT, FailureKind.LIMIT_REACHED, sink)

    async def test_a_broken_promise_is_bad_output(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await _fails(rehearsal, Act.BAD_OUTPUT, FailureKind.BAD_OUTPUT, sink)

    async def test_what_takes_too_long_is_timeout(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        agent = rehearsal.agent(Act.TIME_OUT, timeout=LIMIT)
        run = asyncio.create_task(agent.run(rehearsal.request(), sink))
        await _ready(run, sink)
        jump(LIMIT)
        _check(await run, FailureKind.TIMEOUT, sink)


class SilenceContract(AgentTests):
    """An agent that does not say that it succeeded did not, whatever its exit code."""

    async def test_an_end_within_a_message_is_a_failure_and_what_came_before_it_is_kept(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.HALF, sink)
        assert (result.failure is None, BEFORE in sink.output) == (False, True)
        assert result.error != ""

    async def test_an_end_without_a_result_is_a_failure_and_what_was_said_is_kept(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.NO_RESULT, sink)
        assert (result.failure is None, sink.output.strip()) == (False, "".join(PIECES))
        assert result.error != ""


async def _ready(run: asyncio.Task[AgentResult], sink: RecordingSink) -> None:
    """Returns once it says so; a run that ends before is an error."""
    ready = asyncio.create_task(sink.until(lambda sink: READY in sink.output))
    await asyncio.wait([run, ready], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    assert not run.done(), run.result()


async def _fails(rehearsal: Rehearsal, act: Act, kind: FailureKind, sink: RecordingSink) -> None:
    _check(await rehearsal.play(act, sink), kind, sink)


def _check(result: AgentResult, kind: FailureKind, sink: RecordingSink) -> None:
    assert result.failure is kind
    assert result.error != ""
    assert sink.those(ExecutionFailed) == [ExecutionFailed(kind)]
