"""One run of the Claude Code CLI, as it goes: what it says is passed on, what it asks is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import assert_never

from taskrun.adapters.agents import claude_control
from taskrun.adapters.agents.claude_patience import Patience
from taskrun.adapters.agents.claude_sayings import Asked, Concluded, Saying, Spoke
from taskrun.adapters.agents.claude_stream import ClaudeStream
from taskrun.adapters.agents.claude_usage import reported
from taskrun.adapters.agents.containment.lines import Line, LineSplitter
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.ports.agent_events import AgentEvent, OutputGenerated, Retried
from taskrun.ports.agents import AgentSink

#: The last word repeats every call that was denied, each of which may hold a whole file.
_MAX_LINE_BYTES = 4 * 1024 * 1024

#: Characters of an answer. A longer one is passed on, but not checked.
_MOST_KEPT = 2**20


class ClaudeSession:
    """Passes on what the CLI says, and keeps what the verdict needs."""

    def __init__(self, process: ContainedProcess, sink: AgentSink, stream: ClaudeStream) -> None:
        self.stream = stream
        #: The CLI goes on with trying, and is not waited for.
        self.gave_up = False
        self._patience = Patience(process.program.environ, asyncio.get_running_loop().time)
        self.conclusion: Concluded | None = None
        self._process = process
        self._sink = sink
        self._said: list[str] = []
        #: Of all that the model said.
        self.characters = 0

    async def follow(self) -> None:
        """To the end of the CLI's output, or of the patience with it."""
        lines = LineSplitter(_MAX_LINE_BYTES)
        async for block in self._process.output():
            await self._read(lines.feed(block))
            if self.gave_up:
                return
        await self._read(lines.finish())

    @property
    def is_kept(self) -> bool:
        """What the model said is short enough for that."""
        return self.characters <= _MOST_KEPT

    @property
    def text(self) -> str:
        """What the model said, or the beginning of what is not kept."""
        return "".join(self._said)

    async def _read(self, lines: Sequence[Line]) -> None:
        for line in lines:
            for saying in self.stream.read_beginning(line.text) if line.cut else self.stream.read(line.text):
                await self._take(saying)
                if not isinstance(saying, Retried):
                    self._patience.hears()

    async def _take(self, saying: Saying) -> None:
        match saying:
            case Spoke(text):
                self.characters += len(text)
                if self.is_kept:
                    self._said.append(text)
                await self._sink.text(text)
            case Asked():
                await self._process.tell(claude_control.answer(saying))
            case Concluded():
                await self._conclude(saying)
            case Retried(delay_ms=pause):
                await self._sink.event(saying)
                if not self._patience.lasts(pause / 1000):
                    self.gave_up, self.conclusion = True, self.stream.given_up(saying, self._patience.seconds)
            case AgentEvent():
                await self._sink.event(saying)
            case _:
                assert_never(saying)

    async def _conclude(self, conclusion: Concluded) -> None:
        self.conclusion = conclusion
        # There will be no other turn: the CLI ends.
        self._process.end_input()
        if not conclusion.is_error:
            # An answer too long to be read once more was read while it came.
            text, characters = (conclusion.text or self.text), (len(conclusion.text) or self.characters)
            await self._sink.event(OutputGenerated(text, characters))
        await self._sink.event(reported(conclusion.usage, conclusion.model))
