"""Any agent that speaks the Agent Client Protocol (agentclientprotocol.com), by its command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.conversation import Conversation
from taskrun.adapters.agents.acp.definition import AcpDefinition
from taskrun.adapters.agents.acp.meter import Meter
from taskrun.adapters.agents.acp.peer import BrokenOff, Json, Refused, TooLong
from taskrun.adapters.agents.acp.session import MODEL, Unfit
from taskrun.adapters.agents.acp.story import Story
from taskrun.adapters.agents.acp.verdict import broken_off, failure_by, refused
from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.process import ContainedProcess, Ending
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import CannotRun, Launch, ProgramAgent, Workshop
from taskrun.adapters.agents.prompt import prompt_for
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

#: Seconds that an agent has to end when nobody talks with it any more.
_PATIENCE = 2.0

#: A prompt that begins with "/" would be a command to many agents; nothing in a later line is.
_NO_COMMAND = "\n"


class AcpAgent(ProgramAgent[AcpDefinition]):
    """One process and one turn of a session for each run."""

    def __init__(self, definition: AcpDefinition, workshop: Workshop) -> None:
        super().__init__(definition, workshop)
        #: Those under way.
        self._conversations: dict[ContainedProcess, Conversation] = {}

    def backends(self) -> tuple[ModelBackend, ...]:
        """The model that the definition names."""
        model = self.definition.options.get(MODEL, "")
        return (ModelBackend(model_name=model, supports_streaming=True),) if model else ()

    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The definition's command, which is talked with."""
        return Launch(tuple(self.definition.command), b"", {}, talks=True)

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`."""
        prompt, servers = self._prompt(request), list(self._servers())
        meter = Meter(Path(process.program.environ["HOME"]), request.session_id, fork=request.fork)
        story = Story(sink, meter)
        conversation = Conversation(process, self.definition, story, sink)
        self._conversations[process] = conversation
        try:
            async with conversation.listening():
                result = await self._talk(conversation, request, prompt, servers)
                ending = await self._parting(process)
        finally:
            del self._conversations[process]
        return result or broken_off(ending, process.errors())

    async def interrupt(self, process: ContainedProcess) -> bool:
        """See `ProgramAgent.interrupt`."""
        conversation = self._conversations.get(process)
        return conversation is not None and await conversation.cancel()

    async def _talk(
        self, conversation: Conversation, request: AgentRequest, prompt: str, servers: list[Json]
    ) -> AgentResult | None:
        """How the turn went; None if the agent fell silent."""
        try:
            await self._open(conversation, request, servers)
            return await _judge(conversation, await conversation.prompt(prompt))
        except Unfit as error:
            return AgentResult(error.failure, str(error))
        except Refused as refusal:
            return replace(refused(refusal), session_id=conversation.session_id)
        except TooLong:
            return AgentResult(FailureKind.BAD_OUTPUT, "The agent's message is too long to be understood.")
        except BrokenOff:
            return None

    def _prompt(self, request: AgentRequest) -> str:
        return _NO_COMMAND + prompt_for(self.definition.prompt, request)

    def _servers(self) -> Iterator[Json]:
        for name, (program, *arguments) in self.definition.mcp_servers.items():
            # The protocol wants its whole path.
            command = which(program, path=self._variables().get("PATH"))
            if command is None:
                raise CannotRun(FailureKind.AGENT_UNAVAILABLE, f"The MCP server {name} is not installed: {program}.")
            yield {"name": name, "command": command, "args": arguments, "env": []}

    async def _open(self, conversation: Conversation, request: AgentRequest, servers: list[Json]) -> None:
        seconds = self.definition.start_timeout
        try:
            async with asyncio.timeout(seconds) as limit:
                await conversation.open(request.session_id, servers, fork=request.fork)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"The agent was not ready for its prompt within {seconds:g} s."
            raise Unfit(FailureKind.AGENT_UNAVAILABLE, message) from None

    async def _parting(self, process: ContainedProcess) -> Ending | None:
        """Lets the agent end by itself, which may have something to write down; None if it does not in time."""
        process.end_input()
        try:
            return await asyncio.wait_for(process.ending(), min(_PATIENCE, self.workshop.stop_grace))
        except TimeoutError:
            return None


async def _judge(conversation: Conversation, answer: Json) -> AgentResult:
    story = conversation.story
    failure, error = failure_by(answer.get("stopReason"))
    if failure is None:
        await story.conclude()
    model = _model_used(answer) or conversation.model
    backend = ModelBackend(conversation.agent, model, story.context_window, supports_streaming=True)
    return AgentResult(failure, error, backend, _usage(answer, story.cost), conversation.session_id)


def _usage(answer: Json, cost: float | None) -> Usage | None:
    told = loose.mapping(answer.get("usage"))
    usage = Usage(
        input_tokens=loose.number(told.get("inputTokens")),
        output_tokens=loose.number(told.get("outputTokens")),
        cache_read_tokens=loose.number(told.get("cachedReadTokens")),
        cache_write_tokens=loose.number(told.get("cachedWriteTokens")),
        cost_usd=cost,
    )
    return None if usage.is_nothing else usage


def _model_used(answer: Json) -> str:
    """Where an agent's option says "default", some tell more beside their answer."""
    quota = loose.mapping(loose.mapping(answer.get("_meta")).get("quota"))
    return next((loose.text(used.get("model")) for used in loose.mappings(quota.get("model_usage"))), "")


KIND = AgentKind(AcpDefinition, AcpAgent)
