"""Programs that speak JSON lines, beyond what the agents' contract asks of every kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.definitions import make_agent
from taskrun.adapters.agents.jsonl import JsonLinesDefinition
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Logged, OutputGenerated, Severity
from taskrun.ports.agents import AgentRequest, AgentResult
from taskrun.testing.recording_sink import RecordingSink

Run = Callable[..., Awaitable[AgentResult]]


@pytest.fixture
def run(work_dir: Path, environ: dict[str, str], run_id: str, sink: RecordingSink) -> Run:
    """Runs a Python program that has the request as `request`, and `tell` to write lines."""
    begin = (
        "import json, sys\n"
        "def tell(type, **fields): print(json.dumps({'type': type, **fields}), flush=True)\n"
        "request = json.loads(sys.stdin.readline())\n"
    )

    async def turn(code: str, request: AgentRequest, sink: RecordingSink) -> AgentResult:
        definition = JsonLinesDefinition(name="lines", command=(sys.executable, "-c", begin + code))
        agent = make_agent(definition, work_dir=work_dir, environ=environ, stop_grace=1.0)
        return await agent.run(request, sink)

    async def run(code: str, input: Any = "hi", **more: Any) -> AgentResult:
        """A run that goes on with a session has an earlier one that began it."""
        if session_id := more.get("session_id"):
            first = AgentRequest(run_id, "task-0", "1")
            await turn(f"tell('session', id='{session_id}'); tell('result')", first, RecordingSink())
        return await turn(code, AgentRequest(run_id, "task-1", json.dumps(input), **more), sink)

    return run


async def test_the_request_is_one_line_and_the_input_is_a_value(run: Run, sink: RecordingSink, run_id: str) -> None:
    code = "tell('text', text=json.dumps([request, sys.stdin.read()])); tell('result')"
    await run(code, {"a": "line\nbreak"}, labels={"k": "v"}, attempt=2)
    [request, rest] = json.loads(sink.output)
    assert (request.pop("type"), request.pop("run_id"), rest) == ("request", run_id, "")
    assert request == {
        "task_id": "task-1",
        "attempt": 2,
        "labels": {"k": "v"},
        "input": {"a": "line\nbreak"},
        "session_id": "",
        "fork": False,
    }


async def test_the_result_has_the_model_the_session_and_the_last_figures(run: Run) -> None:
    result = await run(
        "tell('session', id='s', provider='me', model='small')\n"
        "tell('usage', input_tokens=1)\n"
        "tell('usage', model='large', input_tokens=5, output_tokens=2, cost_usd=0.25)\n"
        "tell('result')"
    )
    assert result == AgentResult(
        backend=ModelBackend("me", "large", supports_streaming=True),
        usage=Usage(5, 2, cost_usd=0.25),
        session_id="s",
    )


async def test_a_failure_has_them_too(run: Run) -> None:
    result = await run("tell('usage', model='m', input_tokens=1); tell('result', failure='refused')")
    assert (result.failure, result.error, result.usage) == (FailureKind.REFUSED, "refused", Usage(1))


async def test_the_whole_answer_is_put_out_if_nothing_was(run: Run, sink: RecordingSink) -> None:
    await run("tell('result', text='42')")
    assert (sink.output, sink.those(OutputGenerated)) == ("42", [OutputGenerated("42", 2)])


async def test_the_whole_answer_is_not_put_out_again(run: Run, sink: RecordingSink) -> None:
    await run("tell('text', text='4'); tell('text', text='2'); tell('result', text='42')")
    assert (sink.texts, sink.those(OutputGenerated)) == (["4", "2"], [OutputGenerated("42", 2)])


async def test_lines_that_say_nothing_are_told_once(run: Run, sink: RecordingSink) -> None:
    result = await run("print('Loading\\n' * 1000); tell('sunshine'); tell('sunshine'); tell('result')")
    assert result.failure is None
    assert [(told.severity, told.text.split(":")[0]) for told in sink.those(Logged)] == [
        (Severity.WARNING, "Lines that say nothing are ignored. The first, 'Loading'"),
        (Severity.WARNING, "Lines of type 'sunshine' are ignored"),
    ]


async def test_a_program_that_invents_types_is_not_told_of_for_ever(run: Run, sink: RecordingSink) -> None:
    await run("[tell(f'type-{i}') for i in range(1000)]; tell('result')")
    assert len(sink.those(Logged)) == 10


async def test_a_line_that_is_too_long_is_told_and_only_its_beginning_is_shown(run: Run, sink: RecordingSink) -> None:
    await run("tell('text', text='x' * 2**20); tell('result')")
    [told] = sink.those(Logged)
    assert "longer than 1048576 bytes" in told.text
    assert len(told.text) < 300


async def test_nothing_counts_after_the_result(run: Run, sink: RecordingSink) -> None:
    result = await run("tell('result', failure='refused'); tell('text', text='more'); tell('result')")
    assert (result.failure, sink.output) == (FailureKind.REFUSED, "")


async def test_a_crash_after_the_result_is_no_success(run: Run) -> None:
    result = await run("tell('result'); sys.exit('the disk is full')")
    assert (result.failure, "the disk is full" in result.error) == (FailureKind.AGENT_ERROR, True)


async def test_an_end_without_a_result_says_what_was_on_standard_error(run: Run) -> None:
    result = await run("sys.stderr.write('no key')")
    assert result.failure is FailureKind.AGENT_ERROR
    assert result.error == "The program ended without a result line. no key"


async def test_an_end_without_a_result_but_with_something_unreadable_is_bad_output(run: Run) -> None:
    assert (await run("print('42')")).failure is FailureKind.BAD_OUTPUT


@pytest.mark.parametrize("fork", [False, True])
@pytest.mark.parametrize("answer", ["tell('text', text='hi')", "tell('result')"])
async def test_a_program_that_knows_no_sessions_does_not_answer_a_follow_up(
    run: Run, sink: RecordingSink, answer: str, fork: bool
) -> None:
    result = await run(f"{answer}; tell('result')", session_id="s", fork=fork)
    assert (result.failure, sink.output) == (FailureKind.AGENT_UNAVAILABLE, "")
    assert result.error == "The program does not go on with session s: it names none."


@pytest.mark.parametrize(("named", "fork", "goes_on"), [("s", False, True), ("t", False, False), ("s", True, False)])
async def test_a_follow_up_needs_the_session_and_a_fork_one_of_its_own(
    run: Run, named: str, fork: bool, goes_on: bool
) -> None:
    result = await run(f"tell('session', id='{named}'); tell('result', text='hi')", session_id="s", fork=fork)
    assert (result.failure is None) is goes_on


def test_a_program_is_needed() -> None:
    with pytest.raises(ValueError, match="`command` is missing"):
        JsonLinesDefinition(name="lines", command=("",))
