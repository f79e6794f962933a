"""The cast as Python functions."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence

from taskrun.adapters.agents.function import Function, FunctionAgent
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import SessionInitialized
from taskrun.ports.agents import Agent, AgentRequest, AgentResult, AgentSink
from taskrun.testing.tickets import triage
from tests.acceptance import cast

_BACKEND = ModelBackend(cast.PROVIDER, cast.MODEL)
_ANSWERED = AgentResult(backend=_BACKEND, usage=Usage(input_tokens=12, output_tokens=4))


class Company:
    """The agents of one scenario."""

    def __init__(self) -> None:
        #: Set once the work on a title is finished.
        self._finished: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._waiting: set[str] = set()
        self.executing: set[str] = set()
        #: What was said in each session.
        self._told: dict[str, list[str]] = {}
        self._parts: dict[str, Function] = {
            cast.GENERAL: self._general,
            cast.SUPPORT_TRIAGE: self._support_triage,
            cast.STORYTELLER: self._storyteller,
            cast.BUILDER: self._builder,
            cast.COUNTER: self._counter,
            cast.CLUMSY: self._clumsy,
            cast.FLAKY: self._flaky,
            cast.CONFIDANT: self._confidant,
        }

    def agents(self, names: Sequence[str]) -> list[Agent]:
        """Those of these names."""
        return [FunctionAgent(name, self._registered(self._parts[name]), backends=[_BACKEND]) for name in names]

    def finish(self, title: str) -> None:
        """The work on the title is finished."""
        self._finished[title].set()

    def is_waiting(self, title: str) -> bool:
        """Whether somebody waits for that."""
        return title in self._waiting

    def _registered(self, part: Function) -> Function:
        async def play(request: AgentRequest, sink: AgentSink) -> AgentResult | str | None:
            self.executing.add(request.run_id)
            try:
                return await part(request, sink)
            finally:
                self.executing.discard(request.run_id)

        return play

    async def _until_finished(self, title: str) -> None:
        self._waiting.add(title)
        await self._finished[title].wait()

    async def _general(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.text(cast.ANSWER.format(_title(request)))
        return _ANSWERED

    async def _support_triage(self, request: AgentRequest, sink: AgentSink) -> str:
        return json.dumps(triage(_title(request)))

    async def _storyteller(self, request: AgentRequest, sink: AgentSink) -> str:
        title = _title(request)
        for word in cast.BEGINNING.format(title).split(" "):
            await sink.text(word if word == "Once" else f" {word}")
        await self._until_finished(title)
        return f"\n{cast.ENDING}"

    async def _builder(self, request: AgentRequest, sink: AgentSink) -> None:
        await self._until_finished(_title(request))

    async def _counter(self, request: AgentRequest, sink: AgentSink) -> str:
        return str(len(_title(request)))

    async def _clumsy(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        return AgentResult(FailureKind.AGENT_ERROR, "It fell down.")

    async def _flaky(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        return await (self._clumsy if request.attempt == 1 else self._general)(request, sink)

    async def _confidant(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        told = [*self._told.get(request.session_id, ()), _title(request)]
        session_id = request.session_id if request.session_id and not request.fork else f"session {len(self._told)}"
        self._told[session_id] = told
        await sink.event(SessionInitialized(session_id))
        if told[-1] == cast.TAKE_TIME:
            await self._until_finished(cast.TAKE_TIME)
        await sink.text(", ".join(told))
        return AgentResult(session_id=session_id)


def _title(request: AgentRequest) -> str:
    title = json.loads(request.input_json)
    assert isinstance(title, str)
    return title
