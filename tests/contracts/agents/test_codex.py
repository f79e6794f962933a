"""The real Codex CLI, with a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from taskrun.adapters.agents.codex.agent import find_cli
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import (
    AFTER,
    BEFORE,
    DENIED_COMMAND,
    LONG_LINE_BYTES,
    LOOK,
    NASTY,
    PIECES,
    READY,
    STEPS,
    TOOL_COMMAND,
    Act,
)
from taskrun.testing.contracts.agent_stage import AgentStage, because
from taskrun.testing.model_scripts import BreakOff, Fail, ModelRequest, Reply, Say, Script, UseTool
from tests.contracts.agents.model_stage import ANSWER, WORDS, ModelStage, bash, models, once


def half(request: ModelRequest) -> Reply:
    return BreakOff("I was about to") if request.tool_result else UseTool("Bash", {"command": "true"}, BEFORE)


def planning(done: int) -> Reply:
    """The plan, of which so many steps are done."""
    plan = [{"step": step, "status": "completed" if i < done else "pending"} for i, step in enumerate(STEPS)]
    return UseTool("update_plan", {"plan": plan})


class CodexStage(ModelStage):
    KIND = "codex"
    STOP_GRACE = 5.0
    CANNOT = (
        because("by message: its CLI tells each when it is whole", Act.MIDST)
        | because("its CLI tells a message when it is whole, and for one of 8 MiB it computes for 22 s", Act.FLOOD)
        | because("its CLI tells that to its model alone", Act.ASKED)
    )
    SCRIPTS: ClassVar[Mapping[Act, Script]] = {
        **WORDS,
        Act.TOOL: bash(TOOL_COMMAND),
        # The CLI says nothing of a refusal in words; of the endpoint's content filter it does.
        Act.REFUSE: once(Say("I cannot help with that.", stop_reason="content_filter")),
        Act.LIMIT: once(Fail(429)),
        Act.HALF: half,
        Act.NO_RESULT: bash("kill -9 $PPID", "".join(PIECES)),
        # Of a message that long the CLI would make hours of work; what a command wrote it tells whole.
        Act.LONG_LINE: bash(f"head -c {LONG_LINE_BYTES} /dev/zero | tr '\\0' x", BEFORE, AFTER),
        # Of its model the CLI takes such bytes for a broken connection; a command may write what it likes.
        Act.NOT_UTF8: bash(r"printf '\377\376\303('", BEFORE, AFTER),
        Act.TIME_OUT: bash("sleep 1000", READY),
        Act.HANG: bash("sleep 1000", READY),
        Act.NASTY: bash(NASTY, READY),
        Act.LOOK: bash(LOOK),
        Act.DENIED: bash(DENIED_COMMAND),
    }
    TURNS: ClassVar[Mapping[Act, Sequence[Reply]]] = {
        # A status alone it tries again without a word.
        Act.RETRY: (BreakOff(""), ANSWER),
        Act.PLAN: (planning(0), planning(1), Say("planned")),
    }
    KEYS: ClassVar[Mapping[Act, Mapping[str, Any]]] = {**ModelStage.KEYS, Act.DENIED: {"sandbox": "read-only"}}


@pytest.mark.skipif(find_cli(None) is None, reason="Codex is not installed")
class TestCodex(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AgentStage]:
        with models() as both:
            # Its containment is tried, not its sandbox, which would hold some of this first.
            yield CodexStage(tmp_path, both, {"model": "gpt-5.5", "sandbox": "danger-full-access"})
