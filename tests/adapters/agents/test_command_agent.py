from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.command import CommandDefinition
from taskrun.adapters.agents.containment import process
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ExecutionCompleted, ExecutionFailed, ExecutionStarted
from taskrun.ports.agents import Agent, AgentRequest
from taskrun.testing.recording_sink import RecordingSink

MakeAgent = Callable[..., Agent]
RequestFor = Callable[[str], AgentRequest]


@pytest.fixture
def agent(work_dir: Path, environ: dict[str, str]) -> MakeAgent:
    """An agent that is a Python program, or any other."""

    def make(code: str = "", *command: str, **keys: Any) -> Agent:
        definition = CommandDefinition(name="tool", command=command or (sys.executable, "-c", code), **keys)
        return make_agent(definition, work_dir=work_dir, environ=environ, stop_grace=0.5)

    return make


async def test_the_input_is_read_and_the_output_is_streamed(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    result = await agent("", "tr", "a-z", "A-Z").run(request_for('"loud"'), sink)
    assert (result.failure, sink.output) == (None, "LOUD")
    assert [type(event) for event in sink.events] == [ExecutionStarted, ExecutionCompleted]


async def test_output_arrives_before_its_line_ends_and_before_the_program_does(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    code = "import sys, time; sys.stdout.write('tok'); sys.stdout.flush(); time.sleep(1000)"
    run = asyncio.create_task(agent(code).run(request_for("1"), sink))
    await sink.until(lambda sink: sink.output == "tok")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_the_input_is_never_in_the_arguments(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    code = "import sys; print(open('/proc/self/cmdline').read().split('\\0')[3:], len(sys.stdin.read()))"
    await agent(code).run(request_for(json.dumps("--secret" + "x" * 500_000)), sink)
    assert sink.output == "[''] 500008\n"


async def test_the_worker_s_environment_and_directory_are_not_the_agent_s(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor, run_id: str
) -> None:
    code = "import os, json; print(json.dumps([dict(os.environ), os.getcwd(), os.listdir()]))"
    await agent(code, set_environment={"MODE": "test"}).run(request_for("1"), sink)
    environ, directory, files = json.loads(sink.output)
    environ.pop("LC_CTYPE", None)  # Python's own
    root = directory.removesuffix("/work")
    assert environ == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": f"{root}/home",
        "TMPDIR": f"{root}/tmp",
        "TASKRUN_RUN_ID": run_id,
        "TASKRUN_TASK_ID": "task-1",
        "MODE": "test",
    }
    assert files == []


async def test_what_the_definition_allows_passes(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor, environ: dict[str, str]
) -> None:
    allowed = agent("", "sh", "-c", "echo $HOME $AWS_SECRET_ACCESS_KEY", environment=("HOME", "AWS_*"))
    await allowed.run(request_for("1"), sink)
    assert sink.output == f"{environ['HOME']} {environ['AWS_SECRET_ACCESS_KEY']}\n"


async def test_runs_share_no_files(agent: MakeAgent, request_for: RequestFor) -> None:
    code = "import os; print(os.listdir()); open('mine', 'w').close()"
    sinks = [RecordingSink(), RecordingSink()]
    for sink in sinks:
        await agent(code).run(request_for("1"), sink)
    assert [sink.output for sink in sinks] == ["[]\n", "[]\n"]


async def test_a_working_directory_that_is_named_is_used_and_kept(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor, tmp_path: Path
) -> None:
    await agent("", "touch", "made", working_directory=str(tmp_path)).run(request_for("1"), sink)
    assert "made" in os.listdir(tmp_path)


async def test_a_missing_working_directory_is_agent_unavailable(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    result = await agent("1", working_directory="/no/such/place").run(request_for("1"), sink)
    assert result.failure is FailureKind.AGENT_UNAVAILABLE


async def test_undecodable_output_is_replaced_and_the_rest_is_read(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    result = await agent("", "printf", r"a\377b\303\251\303").run(request_for("1"), sink)
    assert (result.failure, sink.output) == (None, "a\ufffdbé\ufffd")


async def test_a_line_of_any_length_passes_in_pieces(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    await agent("print('é' * 3_000_000, end='')").run(request_for("1"), sink)
    assert sink.output == "é" * 3_000_000
    assert max(map(len, sink.texts)) <= 64 * 1024


async def test_a_bad_exit_is_agent_error_with_the_end_of_stderr(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    code = "import sys; sys.stderr.write('x' * 1_000_000 + 'no such ticket'); sys.exit(7)"
    result = await agent(code).run(request_for("1"), sink)
    assert result.failure is FailureKind.AGENT_ERROR
    assert "exit code 7" in result.error
    assert result.error.endswith("no such ticket")
    assert len(result.error) < 5000
    assert sink.those(ExecutionFailed) == [ExecutionFailed(FailureKind.AGENT_ERROR)]


async def test_a_signal_is_agent_error_and_named(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    for number, name in ((6, "SIGABRT"), (40, "signal 40")):
        result = await agent(f"import os; os.kill(os.getpid(), {number})").run(request_for("1"), sink)
        assert (result.failure, name in result.error) == (FailureKind.AGENT_ERROR, True)


async def test_a_missing_program_is_agent_unavailable_and_is_named_but_not_its_place(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    result = await agent("", "/no/such/ghost").run(request_for("1"), sink)
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert result.error == "The agent's program ghost could not be started: No such file or directory."


async def test_a_machine_that_starts_no_process_is_agent_unavailable(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SUPERVISOR", ["/no/such/interpreter"])
    result = await agent("1").run(request_for("1"), sink)
    assert (result.failure, "No such file" in result.error) == (FailureKind.AGENT_UNAVAILABLE, True)


async def test_a_time_limit_of_somebody_else_is_not_the_agents(agent: MakeAgent, request_for: RequestFor) -> None:
    class Impatient(RecordingSink):
        async def text(self, text: str) -> None:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await agent("print(1)").run(request_for("1"), Impatient())


async def test_the_definitions_time_limit_ends_the_run(
    agent: MakeAgent, sink: RecordingSink, request_for: RequestFor
) -> None:
    began = time.monotonic()
    result = await agent("", "sleep", "1000", timeout=0.3).run(request_for("1"), sink)
    assert (result.failure, "0.3 s" in result.error) == (FailureKind.TIMEOUT, True)
    assert time.monotonic() - began < 20


async def test_a_full_disk_or_a_forbidden_place_is_agent_unavailable(
    environ: dict[str, str], sink: RecordingSink, request_for: RequestFor
) -> None:
    definition = CommandDefinition(name="tool", command=("true",))
    agent = make_agent(definition, work_dir=Path("/proc/none"), environ=environ, stop_grace=1.0)
    assert (await agent.run(request_for("1"), sink)).failure is FailureKind.AGENT_UNAVAILABLE
