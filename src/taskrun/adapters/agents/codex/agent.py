"""Codex as an agent: the real CLI, driven by `codex exec --json`.

The prompt goes in on standard input. Of the machine's own Codex set-up nothing is used; what the agent may do is what
its sandbox lets it, and nothing asks for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from taskrun.adapters.agents.answer import flaw
from taskrun.adapters.agents.codex import home, record
from taskrun.adapters.agents.codex.definition import CodexDefinition
from taskrun.adapters.agents.codex.stream import CodexStream
from taskrun.adapters.agents.codex.verdict import failure, given_up
from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.environment import NETWORK
from taskrun.adapters.agents.containment.lines import Line, LineSplitter
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.adapters.agents.execution import CannotRun
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import Launch, ProgramAgent, Workshop
from taskrun.adapters.agents.prompt import prompt_for
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Logged, OutputGenerated, Severity, UsageReported
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

_PROVIDER = "openai"
_CLI_DEFAULT = "Codex's default"

#: How every session is started.
_EXEC = ("exec", "--json", "--skip-git-repo-check", "--ignore-rules")

#: Where the CLI finds its home.
_HOME_VARIABLE = "CODEX_HOME"

_LOST = Logged("A line of Codex's output was longer than 1 MiB, and is missing.", Severity.WARNING)


class CodexAgent(ProgramAgent[CodexDefinition]):
    """One turn of a Codex session for each run."""

    ALLOWED: tuple[str, ...] = (*NETWORK, "CODEX_CA_CERTIFICATE")

    def __init__(self, definition: CodexDefinition, workshop: Workshop) -> None:
        self.ALLOWED = (*self.ALLOWED, definition.base_url_variable, definition.api_key_variable)
        super().__init__(definition, workshop)

    def backends(self) -> tuple[ModelBackend, ...]:
        """The model that the definition names. Which one the CLI has as its default it does not say."""
        return (_backend(self.definition.model),)

    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The CLI in a home with the definition's settings, and the rendered prompt."""
        cli = find_cli(self.workshop.environ.get("PATH"))
        if cli is None:
            message = "Codex is not installed: `pip install taskrun[codex]`, or put `codex` on the PATH."
            raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message)
        prompt = prompt_for(self.definition.prompt, request)
        place = directory.home / ".codex"
        home.furnish(place, self.definition, self._variables())
        argv = (cli, *_EXEC, *_going_on(request), "-")
        return Launch(argv, prompt.encode(errors="replace"), {_HOME_VARIABLE: str(place)})

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`."""
        turn = _Turn(self.definition.model, sink)
        place = Path(process.program.environ[_HOME_VARIABLE])
        kind, error = await self._judged(turn, process)
        model = self.definition.model or await asyncio.to_thread(record.model_used, place)
        usage = await self._used(turn.stream.usage, model, place, sink)
        if kind is None:
            await sink.event(OutputGenerated(turn.text(), len(turn.text())))
        return AgentResult(kind, error, _backend(model), usage, turn.stream.session_id)

    async def _judged(self, turn: _Turn, process: ContainedProcess) -> tuple[FailureKind | None, str]:
        """Follows it to its end; how it went."""
        patience = home.TRIES * self.definition.silence
        try:
            async with asyncio.timeout(patience) as limit:
                await _read(turn, process, limit, patience)
        except TimeoutError:
            if not limit.expired():
                raise
            return given_up(turn.stream, patience)
        kind, error = failure(turn.stream, await process.ending(), process.errors())
        if kind is None and (error := self._broken_promise(turn.text())):
            kind = FailureKind.BAD_OUTPUT
        return kind, error

    def _broken_promise(self, text: str) -> str:
        return flaw(text, self.definition.answer) if self.definition.answer else ""

    async def _used(self, total: Usage | None, model: str, place: Path, sink: AgentSink) -> Usage | None:
        if total is None:
            return None
        used = record.used_since(place, total)
        counts = used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens
        await sink.event(UsageReported(model, *counts))
        return used


class _Turn:
    """Passes on what the CLI says, and keeps the answer."""

    def __init__(self, model: str, sink: AgentSink) -> None:
        self.stream = CodexStream(model)
        self._sink = sink
        self._said: list[str] = []

    async def read(self, lines: Sequence[Line]) -> None:
        for line in lines:
            for saying in (_LOST,) if line.cut else self.stream.read(line.text):
                if isinstance(saying, str):
                    self._said.append(saying)
                    await self._sink.text(saying)
                else:
                    await self._sink.event(saying)

    def text(self) -> str:
        """All that the model said."""
        return "".join(self._said)


async def _read(turn: _Turn, process: ContainedProcess, limit: asyncio.Timeout, patience: float) -> None:
    """All that it says. The limit ends a silence in which no tool is at work: the CLI waits for its model's first word
    for ever, and for as long as the endpoint wants it to. A reader that takes its time is no silence."""
    lines, loop = LineSplitter(), asyncio.get_running_loop()
    async for block in process.output():
        limit.reschedule(None)
        await turn.read(lines.feed(block))
        limit.reschedule(None if turn.stream.is_at_work else loop.time() + patience)
    limit.reschedule(None)
    await turn.read(lines.finish())


def _backend(model: str) -> ModelBackend:
    metadata = {} if model else {"model": _CLI_DEFAULT}
    return ModelBackend(_PROVIDER, model, 0, True, ("text",), (), metadata)


def find_cli(path: str | None) -> str | None:
    """The CLI that its wheel carries, else the one on `path`; None if there is none."""
    package = find_spec("codex_cli_bin")
    for folder in (package.submodule_search_locations or ()) if package else ():
        bundled = Path(folder, "bin", "codex")
        if bundled.is_file():
            return str(bundled)
    return which("codex", path=path)


def _going_on(request: AgentRequest) -> Sequence[str]:
    if not request.session_id:
        return ()
    return ("fork" if request.fork else "resume", request.session_id)


KIND = AgentKind(CodexDefinition, CodexAgent)
