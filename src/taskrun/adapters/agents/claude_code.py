"""Claude Code as an agent: the real CLI, driven directly, its output understood and its tools limited.

The prompt goes in on standard input, and so do our answers to what the CLI asks. Of the machine's own Claude Code
settings, servers, memory and sessions nothing is used: what an agent can do is what its definition says.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import ClassVar

import msgspec

from taskrun.adapters.agents import claude_control
from taskrun.adapters.agents.answer import TOO_LONG, Answer, flaw
from taskrun.adapters.agents.claude_patience import RETRIES, TRY_MS
from taskrun.adapters.agents.claude_session import ClaudeSession
from taskrun.adapters.agents.claude_stream import ClaudeStream
from taskrun.adapters.agents.claude_verdict import PROVIDER, verdict
from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.adapters.agents.definition import Rule
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import CannotRun, Launch, ProgramAgent
from taskrun.adapters.agents.prompt import prompt_for
from taskrun.adapters.agents.sessions.definition import SessionDefinition
from taskrun.domain.records import ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

#: How every session is started. What no rule decides the CLI asks of us, on standard output.
_OPTIONS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"),
    *("--input-format", "stream-json", "--permission-prompt-tool", "stdio"),
    *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
)

#: Three tries of at most 18 s: an endpoint that is dead or silent is known to be so within a minute, and so is one that
#: falls silent in the middle of an answer. See `claude_patience` for one that wants to be asked later.
_ENVIRON = {
    RETRIES: "2",
    TRY_MS: "18000",
    "CLAUDE_ENABLE_BYTE_WATCHDOG": "1",
    "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": "45000",
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


#: Names the model for the CLI where the definition does not.
_MODEL_VARIABLE = "ANTHROPIC_MODEL"
_CLI_DEFAULT = "Claude Code's default"


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
        prompt = prompt_for(self.definition.prompt, request)
        environ = {
            **_ENVIRON,
            "CLAUDE_CONFIG_DIR": str(directory.home / ".claude"),
            "CLAUDE_CODE_TMPDIR": str(directory.temporary),
        }
        argv = (cli, *_OPTIONS, *self._options(), *_going_on(request))
        return Launch(argv, claude_control.prompt(prompt), environ, talks=True)

    async def interrupt(self, process: ContainedProcess) -> bool:
        """See `ProgramAgent.interrupt`."""
        await process.tell(claude_control.interrupt())
        return True

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`."""
        session = ClaudeSession(process, sink, ClaudeStream(goes_on=bool(request.session_id)))
        await session.follow()
        if session.gave_up:
            return verdict(session.stream, session.conclusion, None, "")
        result = verdict(session.stream, session.conclusion, await process.ending(), process.errors())
        return self._checked(result, session)

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

    def _checked(self, result: AgentResult, session: ClaudeSession) -> AgentResult:
        if result.failure is not None or not self.definition.answer:
            return result
        error = flaw(session.text, self.definition.answer) if session.is_kept else TOO_LONG
        if not error:
            return result
        return AgentResult(FailureKind.BAD_OUTPUT, error, result.backend, result.usage, result.session_id)


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


KIND = AgentKind(ClaudeCodeDefinition, ClaudeCodeAgent)
