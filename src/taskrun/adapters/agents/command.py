"""Any program as an agent: the task's input on its standard input, its standard output as the run's output."""

from __future__ import annotations

import codecs
from typing import Annotated, ClassVar

import msgspec

from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.adapters.agents.definition import AgentDefinition, Rule
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import Launch, ProgramAgent
from taskrun.adapters.agents.prompt import input_text
from taskrun.adapters.agents.verdict import failure_of
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink


class CommandDefinition(AgentDefinition, frozen=True, kw_only=True):
    """Adds the program."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: not "".join(agent.command[:1]),
            "`command` is missing: the program and its arguments, such as `command = ['wc', '-w']`.",
        ),
    )

    kind: str = "command"
    command: Annotated[tuple[str, ...], msgspec.Meta(description="a list of texts: the program and its arguments")] = ()


class CommandAgent(ProgramAgent[CommandDefinition]):
    """Output is passed on as it comes, in whatever pieces; exit code 0 is success."""

    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The definition's command. An input that is a JSON string goes in as its text, any other as JSON."""
        return Launch(tuple(self.definition.command), input_text(request.input_json).encode(errors="replace"), {})

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`. What is no UTF-8 is replaced by U+FFFD."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        async for block in process.output():
            await sink.text(decoder.decode(block))
        await sink.text(decoder.decode(b"", final=True))
        return failure_of(await process.ending(), process.errors()) or AgentResult()


KIND = AgentKind(CommandDefinition, CommandAgent)
