"""An agent whose program says whatever the case is: all that comes of it must get through to a control plane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, cast

import msgspec

from fuzz.loop import breathe, in_the_loop
from fuzz.wire import RUN, TASK, gets_through
from taskrun.adapters.agents.containment.process import ContainedProcess, Ending, Program
from taskrun.adapters.agents.definitions import make_agent
from taskrun.adapters.agents.kinds import find_kind
from taskrun.adapters.agents.sessions.shelf import Keeping
from taskrun.domain.daemon.chunks import chunks, clipped
from taskrun.domain.records import OutputSegment, RunEvent, Usage
from taskrun.engine.daemon_outcome import outcome
from taskrun.engine.daemon_sink import MAX_EVENT_VALUE
from taskrun.ports.agent_events import AgentEvent, UsageReported
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

REQUEST = AgentRequest(RUN, TASK, '{"text": "hello"}')


class Sink:
    """Implements `AgentSink`: what it is given is sent to a control plane at once."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    async def text(self, text: str) -> None:
        """See `AgentSink.text`."""
        gets_through([OutputSegment(RUN, 0, (chunk,)) for chunk in chunks(text)] if text else [])

    async def event(self, event: AgentEvent) -> None:
        """See `AgentSink.event`."""
        if isinstance(event, UsageReported):
            self.usage = event.usage()
        known = {name: clipped(value, MAX_EVENT_VALUE) for name, value in event.metadata().items()}
        gets_through([RunEvent(RUN, event.TYPE, known, "event-1")])


class _Process:
    """A program that was started, says its lines whatever it is asked, and ends well."""

    def __init__(self, says: bytes, place: Path) -> None:
        self._says = says
        self.program = Program(("agent",), {"HOME": str(place), "CODEX_HOME": str(place)}, place, None)

    async def output(self) -> AsyncIterator[bytes]:
        """In blocks that are no lines, with time in between for questions."""
        for begin in range(0, len(self._says), 200):
            await breathe(3)
            yield self._says[begin : begin + 200]

    async def tell(self, words: bytes) -> None:
        """It does not listen."""

    def end_input(self) -> None:
        """It does not mind."""

    async def ending(self) -> Ending:
        """It is over."""
        return Ending(0)

    def errors(self) -> str:
        """What it said beside its output."""
        return ""


class _Follows(Protocol):
    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """See `ProgramAgent.follow`."""


def agent_that_says(kind: str, **keys: Any) -> Callable[[bytes], None]:
    """What a target takes: an agent whose table has these keys follows a program that says the case."""
    return in_the_loop(partial(_follow, kind, keys))


async def _follow(kind: str, keys: Mapping[str, Any], case: bytes) -> None:
    with TemporaryDirectory() as directory:
        place = Path(directory)
        definition = msgspec.convert({"name": "agent", "kind": kind, **keys}, find_kind(kind).definition)
        agent = make_agent(definition, work_dir=place, environ={}, stop_grace=1.0, keeping=Keeping())
        process, sink = cast(ContainedProcess, _Process(case, place)), Sink()
        following = asyncio.create_task(cast(_Follows, agent).follow(REQUEST, process, sink))
        await asyncio.wait([following])
        # It logs what no agent may raise, which is a fault here.
        gets_through([outcome(REQUEST, following, sink.usage)])
