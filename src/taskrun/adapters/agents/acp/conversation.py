"""One turn with an agent, request by request, in the order of the protocol.

The agent gets nothing of its client, no files and no terminals: it has its own inside its containment, and the client's
would be the worker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.definition import AcpDefinition
from taskrun.adapters.agents.acp.peer import AUTH_REQUIRED, METHOD_NOT_FOUND, Json, Peer, Refused
from taskrun.adapters.agents.acp.permission import CANCELLED, Leave, choose
from taskrun.adapters.agents.acp.session import (
    MODEL,
    NEW,
    Unfit,
    cannot_go_on,
    keeps_sessions,
    model_of,
    opening,
    settings,
)
from taskrun.adapters.agents.acp.story import Story
from taskrun.adapters.agents.containment.lines import Line
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Logged, PermissionAsked, SessionInitialized, Severity
from taskrun.ports.agents import AgentSink
from taskrun.version import __version__

PROTOCOL_VERSION = 1

_HELLO: Json = {
    "protocolVersion": PROTOCOL_VERSION,
    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
    "clientInfo": {"name": "taskrun", "version": __version__},
}

_PUZZLING_CHARACTERS = 1000


class Conversation:
    """Implements `Host`. Use it inside `listening`: first `open`, then `prompt`."""

    def __init__(self, process: ContainedProcess, definition: AcpDefinition, story: Story, sink: AgentSink) -> None:
        self._peer = Peer(process, self)
        self._process = process
        self._definition = definition
        self._leave = Leave(definition.allowed_tools, definition.disallowed_tools)
        self._sink = sink
        self._session = ""
        #: The answer to the prompt, once it is asked for.
        self._turn: asyncio.Future[Json | None] | None = None
        self._cancelled = False
        self.listening = self._peer.listening
        self.story = story
        #: By which a later run can go on with it; "" if none can.
        self.session_id = ""
        #: What the agent calls itself.
        self.agent, self._version = "", ""
        #: What it thinks with, as far as it says.
        self.model = ""

    # The turn.

    async def open(self, session_id: str, servers: Sequence[Json], *, fork: bool) -> None:
        """Gets a session: a new one, the one of this id, or a copy of that. Raises `Unfit`, and as `Peer.answer`."""
        able = await self._greet()
        session = await self._open(opening(able, session_id, fork=fork), session_id, servers)
        self._session = loose.text(session.get("sessionId")) or ("" if fork else session_id)
        if not self._session:
            raise Unfit(FailureKind.BAD_OUTPUT, "The agent opened a session without an id.")
        self.session_id = self._session if keeps_sessions(able) else ""
        self.story.meter.session_id, self.story.meter.agent = self._session, self.agent
        self.model = self._definition.options.get(MODEL) or model_of(session)
        for method, params in settings(session, self._definition.options):
            await self._peer.request(method, {"sessionId": self._session, **params})
        await self._sink.event(SessionInitialized(self.session_id, self.model, self._version))

    async def _greet(self) -> Json:
        """Returns what the agent is able to do."""
        hello = await self._peer.request("initialize", _HELLO)
        version = hello.get("protocolVersion")
        if version != PROTOCOL_VERSION:
            message = f"This agent speaks version {version} of the protocol, not {PROTOCOL_VERSION}."
            raise Unfit(FailureKind.AGENT_UNAVAILABLE, message)
        about = loose.mapping(hello.get("agentInfo"))
        self.agent, self._version = loose.text(about.get("name")), loose.text(about.get("version"))
        if self._definition.login:
            await self._peer.request("authenticate", {"methodId": self._definition.login})
        return loose.mapping(hello.get("agentCapabilities"))

    async def _open(self, method: str, session_id: str, servers: Sequence[Json]) -> Json:
        place = {"cwd": str(self._process.program.working_directory), "mcpServers": servers}
        if method == NEW:
            return await self._peer.request(method, place)
        try:
            return await self._peer.request(method, {"sessionId": session_id, **place})
        except Refused as refusal:
            if refusal.code == AUTH_REQUIRED:
                raise
            raise cannot_go_on(session_id, refusal) from refusal

    async def prompt(self, text: str) -> Json:
        """Has it answered. Raises as `Peer.answer`."""
        prompt = [{"type": "text", "text": text}]
        self._turn = await self._peer.ask("session/prompt", {"sessionId": self._session, "prompt": prompt})
        return await self._peer.answer(self._turn)

    async def cancel(self) -> bool:
        """Asks the agent to end its turn, so that `prompt` returns. False if there is no turn yet."""
        if self._turn is None:
            return False
        self._cancelled = True
        await self._peer.notify("session/cancel", {"sessionId": self._session})
        return True

    # What the agent says of its own accord.

    async def asked(self, method: str, params: Json) -> Json:
        """See `Host.asked`: whatever it may do and whatever it may not is an answer, and nobody is waited for."""
        if method != "session/request_permission":
            raise Refused(METHOD_NOT_FOUND, f"TaskRun has no {method} for its agents.")
        if self._cancelled:
            return CANCELLED
        call = self.story.tools.of(loose.mapping(params.get("toolCall")))
        for event in (*call.update(loose.mapping(params.get("toolCall"))), *call.request()):
            await self._sink.event(event)
        decision, answer = choose(self._leave.decide(call), params.get("options"))
        await self._sink.event(PermissionAsked(call.name, decision, call.id, call.input))
        return answer

    async def told(self, method: str, params: Json) -> None:
        """See `Host.told`. What is told before the turn was put out in turns before it; what is told after it, or of
        other sessions such as a helper's of the agent, belongs to nothing here."""
        in_turn = self._turn is not None and not self._turn.done()
        if in_turn and method == "session/update" and params.get("sessionId") == self._session:
            await self._worked(loose.mapping(params.get("update")))

    async def _worked(self, update: Json) -> None:
        await self.story.tell(update)
        call = self.story.tools.known(update)
        if call and self._leave.overstepped(call):
            text = f"The agent used {call.name} without asking, and nothing allows it."
            await self._sink.event(Logged(text, Severity.WARNING))

    async def puzzled(self, line: Line) -> None:
        """See `Host.puzzled`: it is told for whoever looks for a fault."""
        why = "too long, and was left out" if line.cut else "no message of the protocol"
        text = f"What the agent said is {why}: {line.text[:_PUZZLING_CHARACTERS]}"
        await self._sink.event(Logged(text, Severity.WARNING))
