"""Any program that speaks JSON lines as an agent: one line with the request in, lines with what happens out.

docs/agents-jsonl.md is the protocol.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.lines import MAX_LINE_BYTES, Line, LineSplitter
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.adapters.agents.definition import Rule
from taskrun.adapters.agents.execution import CannotRun
from taskrun.adapters.agents.jsonl_lines import (
    Consumed,
    Result,
    Said,
    Session,
    Text,
    UnknownType,
    Unreadable,
    event_of,
    read,
)
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import Launch, ProgramAgent
from taskrun.adapters.agents.prompt import input_value
from taskrun.adapters.agents.sessions.definition import SessionDefinition
from taskrun.adapters.agents.verdict import failure_of
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Logged, OutputGenerated, Severity
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

#: Characters of a line in a complaint, and complaints in a run.
_SHOWN, _MOST_COMPLAINTS = 80, 10


class JsonLinesDefinition(SessionDefinition, frozen=True, kw_only=True):
    """Adds the program."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: not "".join(agent.command[:1]),
            "`command` is missing: the program and its arguments, such as `command = ['python', 'agent.py']`.",
        ),
    )

    kind: str = "jsonl"
    command: Annotated[tuple[str, ...], msgspec.Meta(description="a list of texts: the program and its arguments")] = ()


class JsonLinesAgent(ProgramAgent[JsonLinesDefinition]):
    """One program for each run, which succeeds by a result line and then exit code 0."""

    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The definition's command, with the request as a line of JSON."""
        return Launch(tuple(self.definition.command), _request_line(request), {})

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`."""
        story = _Story(request, sink)
        lines = LineSplitter()
        async for block in process.output():
            await story.read(lines.feed(block))
        await story.read(lines.finish())
        ending = await process.ending()
        return story.judged(failure_of(ending, process.errors()), process.errors())


class _Story:
    """Passes on what the program says, and keeps what is needed to judge it."""

    def __init__(self, request: AgentRequest, sink: AgentSink) -> None:
        self._request = request
        self._sink = sink
        self._session = Session()
        self._consumed: Consumed | None = None
        self._result: Result | None = None
        #: Complaints about lines: each is made once.
        self._complaints: set[str] = set()
        self._garbled = False
        self._spoken = False

    async def read(self, lines: Sequence[Line]) -> None:
        """Takes in what comes next. Raises `CannotRun` if the program begins anew what it was to go on with."""
        for line in lines:
            if line.text.strip():
                await self._read(line)

    def judged(self, failed: AgentResult | None, errors: str) -> AgentResult:
        """The run's result. A program that did not end well did not succeed, whatever it had said before."""
        if self._result is None:
            failed = failed or self._silence(errors)
        elif failure := self._result.kind():
            failed = AgentResult(failure, self._result.error or failure.value)
        verdict = failed or AgentResult()
        usage = Usage(*self._consumed.figures()) if self._consumed else None
        return AgentResult(verdict.failure, verdict.error, self._backend(), usage, self._session.id)

    async def _read(self, line: Line) -> None:
        try:
            if line.cut:
                raise Unreadable(f"it is longer than {MAX_LINE_BYTES} bytes")
            if self._result:
                raise Unreadable("it comes after the result")
            said = read(line.text)
        except UnknownType as unknown:
            await self._complain(f"Lines of type {_shown(str(unknown))} are ignored: there is no such type.")
        except Unreadable as reason:
            self._garbled = True
            await self._complain("Lines that say nothing are ignored.", f" The first, {_shown(line.text)}: {reason}.")
        else:
            await self._take(said)

    async def _take(self, said: Said) -> None:
        match said:
            case Session():
                self._session = said
            case Consumed():
                self._consumed = said
            case Text(text):
                self._check_session()
                self._spoken = self._spoken or bool(text)
                await self._sink.text(text)
            case Result():
                self._result = said
                await self._conclude(said)
        if event := event_of(said):
            await self._sink.event(event)

    async def _conclude(self, result: Result) -> None:
        if result.kind() is not None:
            return
        self._check_session()
        if result.text and not self._spoken:
            await self._sink.text(result.text)
        if result.text:
            await self._sink.event(OutputGenerated(result.text, len(result.text)))

    async def _complain(self, complaint: str, example: str = "") -> None:
        if complaint not in self._complaints and len(self._complaints) < _MOST_COMPLAINTS:
            self._complaints.add(complaint)
            await self._sink.event(Logged(complaint + example, Severity.WARNING))

    def _check_session(self) -> None:
        """An answer that knows nothing of what was said before would look like one that does."""
        wanted, named = self._request.session_id, self._session.id
        if wanted and not (named and (named != wanted if self._request.fork else named == wanted)):
            message = f"The program does not go on with session {wanted}: it names {named or 'none'}."
            raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message)

    def _silence(self, errors: str) -> AgentResult:
        kind = FailureKind.BAD_OUTPUT if self._garbled else FailureKind.AGENT_ERROR
        return AgentResult(kind, f"The program ended without a result line. {errors}".strip())

    def _backend(self) -> ModelBackend | None:
        model = (self._consumed and self._consumed.model) or self._session.model
        return ModelBackend(self._session.provider, model, supports_streaming=True) if model else None


def _request_line(request: AgentRequest) -> bytes:
    line = {
        "type": "request",
        "run_id": request.run_id,
        "task_id": request.task_id,
        "attempt": request.attempt,
        "labels": dict(request.labels),
        "input": input_value(request.input_json),
        "session_id": request.session_id,
        "fork": request.fork,
    }
    return json.dumps(line).encode() + b"\n"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ...")


KIND = AgentKind(JsonLinesDefinition, JsonLinesAgent)
