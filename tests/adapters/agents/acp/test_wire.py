"""Agents that do not speak as they should, byte by byte."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.acp.definition import AcpDefinition
from taskrun.adapters.agents.containment.lines import MAX_LINE_BYTES
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Logged, PermissionAsked, SessionInitialized, Severity, ToolRequested
from taskrun.ports.agents import AgentRequest, AgentResult
from taskrun.testing.recording_sink import RecordingSink

#: Says a part after each line that it reads, and then ends: its arguments are the parts' file and code for the end.
PARROT = """
import sys
for part in open(sys.argv[1], "rb").read().split(b"\\0"):
    sys.stdin.readline()
    sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
exec(sys.argv[2])
"""


def line(**message: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def said(text: str, session: str = "s") -> bytes:
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    return line(method="session/update", params={"sessionId": session, "update": update})


HELLO = line(id=0, result={"protocolVersion": 1})
SESSION = line(id=1, result={"sessionId": "s"})
DONE = line(id=2, result={"stopReason": "end_turn"})
TOO_MUCH = "x" * MAX_LINE_BYTES

Run = Callable[..., Any]


@pytest.fixture
def run(work_dir: Path, environ: dict[str, str], sink: RecordingSink, run_id: str, tmp_path: Path) -> Run:
    """Runs an agent that says these parts."""

    async def run(*parts: bytes, at_the_end: str = "", session_id: str = "", **keys: Any) -> AgentResult:
        script = tmp_path / "script"
        script.write_bytes(b"\0".join(parts))
        command = (sys.executable, "-I", "-S", "-c", PARROT, str(script), at_the_end)
        definition = AcpDefinition(name="parrot", **{"command": command, "timeout": 60.0, **keys})
        agent = make_agent(definition, work_dir=work_dir, environ=environ, stop_grace=0.5)
        return await agent.run(AgentRequest(run_id, "task-1", '"hello"', session_id=session_id), sink)

    return run


def warnings(sink: RecordingSink) -> list[str]:
    assert {told.severity for told in sink.those(Logged)} <= {Severity.WARNING}
    return [told.text for told in sink.those(Logged)]


# It goes on.


async def test_a_turn_as_it_should_be(run: Run, sink: RecordingSink) -> None:
    result = await run(HELLO, SESSION, said("hi") + DONE)
    assert (result.failure, sink.output, warnings(sink)) == (None, "hi", [])


@pytest.mark.parametrize(
    "noise",
    [b"debug: starting\n", b"\xff\xfe\xc3(\n", b"[1, 2]\n", b"7\n", b"[" * 100_000 + b"\n", b'{"id": 0\n'],
    ids=["text", "no UTF-8", "a list", "a number", "deep", "half a message"],
)
async def test_noise_is_told_and_the_turn_goes_on(run: Run, sink: RecordingSink, noise: bytes) -> None:
    result = await run(noise + HELLO, SESSION, said("a") + noise + said("b") + DONE)
    assert (result.failure, sink.output, len(warnings(sink))) == (None, "ab", 2)
    assert all(len(text) < 1100 for text in warnings(sink))


@pytest.mark.parametrize("long", [TOO_MUCH.encode() + b"x\n", said(TOO_MUCH)], ids=["noise", "an update"])
async def test_what_is_too_long_is_left_out_and_that_is_told(run: Run, sink: RecordingSink, long: bytes) -> None:
    result = await run(HELLO, SESSION, said("a") + long + said("b") + DONE)
    assert (result.failure, sink.output) == (None, "ab")
    [text] = warnings(sink)
    assert "too long, and was left out" in text


async def test_empty_lines_are_nothing(run: Run, sink: RecordingSink) -> None:
    result = await run(b"\n \n\r\n" + HELLO, SESSION, DONE)
    assert (result.failure, warnings(sink)) == (None, [])


async def test_what_nobody_asked_for_is_nothing(run: Run, sink: RecordingSink) -> None:
    strange = [
        line(id=99, result={}),
        line(id="x", error={}),
        line(id=None),
        line(),
        line(method="session/unheard_of", params=[]),
        line(method="session/update"),
        line(method="session/update", params={"sessionId": "s", "update": {"sessionUpdate": ["?"]}}),
        said("a helper's words", session="another"),
    ]
    result = await run(b"".join([*strange, HELLO]), SESSION, b"".join([*strange, said("a"), DONE, said("late")]))
    assert (result.failure, sink.output, warnings(sink)) == (None, "a", [])


async def test_whatever_an_agent_asks_for_it_is_answered(run: Run, sink: RecordingSink) -> None:
    call = {"toolCallId": "t", "title": "Delete all", "kind": "delete"}
    permission = line(id="p", method="session/request_permission", params={"toolCall": call, "options": None})
    unknown = line(id=7, method="terminal/create", params={"command": "sh"})
    echo = "for _ in range(2): print(sys.stdin.readline(), end='', file=sys.stderr)\nsys.exit(1)"
    # It ends before its turn, so that what it was answered is in the result.
    result = await run(HELLO, SESSION, permission + unknown, at_the_end=echo)
    [first, second] = [json.loads(text) for text in result.error.splitlines()[1:]]
    assert first == {"jsonrpc": "2.0", "id": "p", "result": {"outcome": {"outcome": "cancelled"}}}
    assert (second["id"], second["error"]["code"]) == (7, -32601)
    assert [asked.tool for asked in sink.those(ToolRequested)] == ["delete"]
    assert [asked.tool for asked in sink.those(PermissionAsked)] == ["delete"]


# It does not.


@pytest.mark.parametrize(
    "parts",
    [(b"",), (HELLO,), (HELLO, SESSION), (HELLO, SESSION, said("a") + DONE[:20]), (b"hello\n",)],
    ids=["at once", "after hello", "after the session", "within a message", "with a text"],
)
async def test_an_end_in_the_middle_is_agent_error(run: Run, parts: tuple[bytes, ...]) -> None:
    result = await run(*parts)
    assert (result.failure, result.error) == (
        FailureKind.AGENT_ERROR,
        "The agent ended in the middle of the conversation.",
    )


async def test_an_end_in_the_middle_says_why(run: Run) -> None:
    result = await run(HELLO, at_the_end="sys.exit('no more memory')")
    assert result.failure is FailureKind.AGENT_ERROR
    assert result.error == "The agent's program ended with exit code 1.\nno more memory"


async def test_an_agent_that_falls_silent_but_lives_is_agent_error(run: Run) -> None:
    result = await run(HELLO, at_the_end="import os, time; os.close(1); time.sleep(1000)")
    assert (result.failure, "in the middle" in result.error) == (FailureKind.AGENT_ERROR, True)


@pytest.mark.parametrize("part", [0, 1])
async def test_an_agent_that_is_not_ready_in_time_is_agent_unavailable(run: Run, part: int) -> None:
    result = await run(*[HELLO][:part], b"", at_the_end="import time; time.sleep(1000)", start_timeout=0.5)
    assert (result.failure, "within 0.5 s" in result.error) == (FailureKind.AGENT_UNAVAILABLE, True)


async def test_an_agent_that_never_answers_ends_with_its_time(run: Run) -> None:
    result = await run(HELLO, SESSION, b"", at_the_end="import time; time.sleep(1000)", timeout=1.0)
    assert result.failure is FailureKind.TIMEOUT


async def test_an_agent_that_reads_nothing_ends_with_its_time(run: Run) -> None:
    result = await run(HELLO, SESSION, at_the_end="import time; time.sleep(1000)", timeout=1.0, prompt="x" * 1_000_000)
    assert result.failure is FailureKind.TIMEOUT


async def test_another_version_of_the_protocol_is_agent_unavailable(run: Run) -> None:
    result = await run(line(id=0, result={"protocolVersion": 2}))
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert result.error == "This agent speaks version 2 of the protocol, not 1."


async def test_a_session_without_an_id_is_bad_output(run: Run) -> None:
    assert (await run(HELLO, line(id=1, result={}))).failure is FailureKind.BAD_OUTPUT


@pytest.mark.parametrize("result", [{"stopReason": "bored"}, {"stopReason": None}, {"stopReason": []}, {}, 7, None])
async def test_an_end_for_no_known_reason_is_bad_output(run: Run, result: object) -> None:
    assert (await run(HELLO, SESSION, line(id=2, result=result))).failure is FailureKind.BAD_OUTPUT


async def test_an_answer_that_is_too_long_is_bad_output(run: Run) -> None:
    result = await run(HELLO, SESSION, line(id=2, result={"stopReason": "end_turn", "_meta": TOO_MUCH}))
    assert (result.failure, "too long" in result.error) == (FailureKind.BAD_OUTPUT, True)


@pytest.mark.parametrize("error", ["boom", 7, {}, {"code": "x", "message": 1}])
async def test_an_error_in_any_form_is_one(run: Run, error: object) -> None:
    assert (await run(HELLO, SESSION, line(id=2, error=error))).failure is FailureKind.AGENT_ERROR


async def test_a_missing_program_is_agent_unavailable(run: Run) -> None:
    result = await run(command=("no-such-program",))
    assert (result.failure, "No such file" in result.error) == (FailureKind.AGENT_UNAVAILABLE, True)


@pytest.mark.parametrize("where", [SessionInitialized, str])
async def test_a_sink_that_fails_is_not_the_agents_fault(
    run: Run, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch, where: type
) -> None:
    async def refuse(told: object) -> None:
        if isinstance(told, where):
            raise TimeoutError

    monkeypatch.setattr(sink, "text", refuse)
    monkeypatch.setattr(sink, "event", refuse)
    with pytest.raises(TimeoutError):
        await run(HELLO, SESSION, said("a") + DONE)


async def test_a_login_that_is_missing_is_told_also_where_a_session_goes_on(run: Run) -> None:
    hello = line(id=0, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    await run(hello, SESSION, DONE)
    result = await run(hello, line(id=1, error={"code": -32000, "message": "Log in"}), session_id="s")
    assert (result.failure, result.error) == (
        FailureKind.AGENT_UNAVAILABLE,
        "The agent answered with an error: Log in",
    )


async def test_who_asks_for_leave_after_a_cancel_is_told_of_it(run: Run, sink: RecordingSink, tmp_path: Path) -> None:
    asks = line(id="p", method="session/request_permission", params={"toolCall": {"toolCallId": "t"}, "options": []})
    keeps = f"open({str(tmp_path / 'kept')!r}, 'w').write(sys.stdin.readline())"
    running = asyncio.create_task(run(HELLO, SESSION, said("ready"), asks, at_the_end=keeps))
    await sink.until(lambda sink: sink.output == "ready")
    running.cancel()
    await asyncio.wait([running])
    assert running.result().failure is FailureKind.CANCELLED
    assert json.loads((tmp_path / "kept").read_text())["result"] == {"outcome": {"outcome": "cancelled"}}
    assert sink.those(PermissionAsked) == []
