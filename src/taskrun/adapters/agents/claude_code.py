"""Claude Code as an agent: the real CLI, driven directly, its output understood and its tools limited.

The prompt goes in on standard input. Of the machine's own Claude Code settings, servers, memory and sessions nothing is
used: what an agent can do is what its definition says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import ClassVar, assert_never

import msgspec

from taskrun.adapters.agents.answer import Answer, flaw
from taskrun.adapters.agents.claude_stream import (
    ClaudeStream,
    Concluded,
    Opened,
    Saying,
    Spoke,
    ToolAnswered,
    ToolAsked,
)
from taskrun.adapters.agents.claude_verdict import PROVIDER, verdict
from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.lines import Line, LineSplitter
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.adapters.agents.definition import Rule
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import CannotRun, Launch, ProgramAgent
from taskrun.adapters.agents.prompt import render
from taskrun.adapters.agents.sessions.definition import SessionDefinition
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.records import ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import SessionInitialized, ToolCompleted, ToolRequested
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

#: How every session is started; `dontAsk` denies each tool call that no rule allows.
_OPTIONS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"),
    *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
    *("--permission-mode", "dontAsk"),
)

#: Three tries of at most 18 s: an endpoint that is dead or silent is known to be so within a minute.
_ENVIRON = {
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "API_TIMEOUT_MS": "18000",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    # An input is text: "@/etc/passwd" in it attaches no file, and nothing outlives the answer or is remembered.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
}

#: A prompt that begins with "/" would be a command to the CLI; nothing in a later line is.
_NO_COMMAND = "\n"

_NOTHING_ASKED = "The prompt is empty: this agent needs an input that says what to do."

#: The template of a definition that has none.
_INPUT = "{input}"

#: Names the model for the CLI where the definition does not.
_MODEL_VARIABLE = "ANTHROPIC_MODEL"
_CLI_DEFAULT = "Claude Code's default"

_SUMMARY_CHARACTERS = 200


class ClaudeCodeDefinition(SessionDefinition, frozen=True, kw_only=True):
    """Adds what the session is told and what it may do."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        (lambda agent: agent.max_turns < 0, "`max_turns` must be 0, for no limit, or more."),
    )

    kind: str = "claude-code"
    #: "" = the input is the prompt.
    prompt: str = ""
    system_prompt: str = ""
    model: str = ""
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    #: 0 = no limit.
    max_turns: int = 0
    answer: Answer = msgspec.field(default_factory=dict)


class ClaudeCodeAgent(ProgramAgent[ClaudeCodeDefinition]):
    """One Claude Code session for each run."""

    ALLOWED = (
        "ANTHROPIC_*",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_*",
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    )

    def backends(self) -> tuple[ModelBackend, ...]:
        """The model that the definition or a variable names. Which one the CLI has as its default only a run shows."""
        tools = tuple(self.definition.allowed_tools)
        model = self.definition.model or self._variables().get(_MODEL_VARIABLE, "")
        metadata = {} if model else {"model": _CLI_DEFAULT}
        return (ModelBackend(PROVIDER, model, 0, True, ("text",), tools, metadata),)

    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The CLI with the definition's options and the rendered prompt."""
        cli = find_cli(self.workshop.environ.get("PATH"))
        if cli is None:
            message = "Claude Code is not installed: `pip install taskrun[claude]`, or put `claude` on the PATH."
            raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message)
        try:
            prompt = render(self.definition.prompt or _INPUT, request.input_json)
        except InvalidArgument as error:
            raise CannotRun(FailureKind.AGENT_ERROR, error.message) from error
        if not prompt.strip():
            raise CannotRun(FailureKind.AGENT_ERROR, _NOTHING_ASKED)
        environ = {**_ENVIRON, "CLAUDE_CONFIG_DIR": str(directory.home / ".claude")}
        return Launch(
            (cli, *_OPTIONS, *self._options(), *_going_on(request)),
            (_NO_COMMAND + prompt).encode(errors="replace"),
            environ,
        )

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`."""
        session = _Session(sink)
        lines = LineSplitter()
        async for block in process.output():
            await session.read(lines.feed(block))
        await session.read(lines.finish())
        result = verdict(session.stream, session.conclusion, await process.ending(), process.errors())
        return self._checked(result, session.text())

    def _options(self) -> Sequence[str]:
        definition = self.definition
        # What is not named here does not even exist for the model: "Bash(git *)" needs the tool Bash.
        tools = sorted({rule.partition("(")[0].strip() for rule in definition.allowed_tools})
        options = ["--tools", ",".join(tools)]
        if definition.allowed_tools:
            options += ["--allowedTools", *definition.allowed_tools]
        if definition.disallowed_tools:
            options += ["--disallowedTools", *definition.disallowed_tools]
        for name, value in (
            ("--model", definition.model),
            ("--system-prompt", definition.system_prompt),
            ("--max-turns", str(definition.max_turns or "")),
        ):
            options += [name, value] if value else []
        return options

    def _checked(self, result: AgentResult, text: str) -> AgentResult:
        if result.failure is not None or not self.definition.answer:
            return result
        error = flaw(text, self.definition.answer)
        if not error:
            return result
        return AgentResult(FailureKind.BAD_OUTPUT, error, result.backend, result.usage, result.session_id)


class _Session:
    """Passes on what the CLI says, and keeps what the verdict needs."""

    def __init__(self, sink: AgentSink) -> None:
        self.stream = ClaudeStream()
        self.conclusion: Concluded | None = None
        self._sink = sink
        self._said: list[str] = []

    async def read(self, lines: Sequence[Line]) -> None:
        for line in lines:
            # A line beyond the limit is one tool's result; the session goes on without it.
            for saying in () if line.cut else self.stream.read(line.text):
                await self._pass_on(saying)

    def text(self) -> str:
        """All that the model said."""
        return "".join(self._said)

    async def _pass_on(self, saying: Saying) -> None:
        event = self._sink.event
        match saying:
            case Spoke(text):
                self._said.append(text)
                await self._sink.text(text)
            case Opened(session_id, model, version):
                await event(SessionInitialized(session_id, model, version))
            case ToolAsked(id, name, input):
                await event(ToolRequested(name, id, _summary(input)))
            case ToolAnswered(id, name, failed):
                await event(ToolCompleted(name, id, "error" if failed else "ok"))
            case Concluded():
                self.conclusion = saying
            case _:
                assert_never(saying)


def _going_on(request: AgentRequest) -> Sequence[str]:
    if not request.session_id:
        return ()
    return ("--resume", request.session_id, *(("--fork-session",) if request.fork else ()))


def find_cli(path: str | None) -> str | None:
    """The CLI that the SDK's wheel carries, else the one on `path`; None if there is none."""
    # The package is looked at, never imported: that would cost 0.8 s and 56 MB.
    sdk = find_spec("claude_agent_sdk")
    for folder in (sdk.submodule_search_locations or ()) if sdk else ():
        bundled = Path(folder, "_bundled", "claude")
        if bundled.is_file():
            return str(bundled)
    return which("claude", path=path)


def _summary(input: Mapping[str, object]) -> str:
    """A tool's input, short: its first text alone, such as a command or a path, says most."""
    text = next((value for value in input.values() if isinstance(value, str)), "") or json.dumps(input)
    return text if len(text) <= _SUMMARY_CHARACTERS else f"{text[: _SUMMARY_CHARACTERS - 4]} ..."


KIND = AgentKind(ClaudeCodeDefinition, ClaudeCodeAgent)
