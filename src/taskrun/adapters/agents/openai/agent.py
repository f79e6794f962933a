"""A model behind an OpenAI-compatible endpoint as an agent: no tools, no program, one request for each turn.

The request is made in the worker's own process. Cancelling the run closes its connection, and nothing is left.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec

from taskrun.adapters.agents.answer import TOO_LONG, AnswerForm, flaw
from taskrun.adapters.agents.containment.environment import NETWORK, passed
from taskrun.adapters.agents.execution import CannotRun, executed
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.openai import conversation
from taskrun.adapters.agents.openai.answer import WHOLE, Ending
from taskrun.adapters.agents.openai.asking import Listener, Waiting, ask
from taskrun.adapters.agents.openai.conversation import Conversation
from taskrun.adapters.agents.openai.definition import OpenAIDefinition
from taskrun.adapters.agents.openai.endpoint import Endpoint
from taskrun.adapters.agents.openai.failures import CallFailed
from taskrun.adapters.agents.program import Workshop
from taskrun.adapters.agents.prompt import prompt_for
from taskrun.adapters.agents.sessions.entering import enter
from taskrun.adapters.agents.sessions.rooms import Room
from taskrun.domain.records import AgentSpec, ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Logged, OutputGenerated, SessionInitialized, Severity, UsageReported
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

_K = FailureKind

#: Characters of an answer in the event that it is whole.
_SHOWN = 2000


class OpenAIAgent:
    """Implements `Agent`."""

    def __init__(self, definition: OpenAIDefinition, workshop: Workshop, waiting: Waiting | None = None) -> None:
        self.definition = definition
        self._workshop = workshop
        self._waiting = waiting or Waiting()
        self._endpoint = Endpoint(definition, _variables(definition, workshop.environ))
        backend = _backend(definition, definition.model)
        self._spec = AgentSpec(definition.name, definition.description, definition.labels, (backend,))

    @property
    def spec(self) -> AgentSpec:
        """See `Agent.spec`."""
        return self._spec

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        """See `Agent.run`. The definition's own time limit ends it as TIMEOUT."""
        return await executed(self.definition, "", sink, lambda sink: self._in_its_room(request, sink))

    async def _in_its_room(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        name, keep = self.definition.name, self.definition.keep_sessions
        room = self._workshop.sessions.room(name, request.session_id, fork=request.fork, keep=keep)
        async with AsyncExitStack() as stack:
            return await self._turn(request, await enter(stack, room), sink)

    async def _turn(self, request: AgentRequest, room: Room, sink: AgentSink) -> AgentResult:
        """One question and its answer. One that fails leaves the session as it was."""
        definition = self.definition
        earlier, prompt = _earlier(request, room), prompt_for(definition.prompt, request)
        session_id = room.session_id or _new_id(definition)
        await sink.event(SessionInitialized(session_id, definition.model))
        try:
            heard = await ask(self._endpoint, definition, earlier.asked(prompt), sink, self._waiting)
        except CallFailed as failure:
            return AgentResult(failure.kind, str(failure), self._spec.backends[0], None, room.session_id)
        backend, usage = _backend(definition, heard.answer.model or definition.model), heard.answer.usage
        if usage is not None:
            await sink.event(_reported(backend.model_name, usage))
        ending = _judged(heard, definition.answer)
        if ending.failure is not None:
            return AgentResult(ending.failure, ending.error, backend, usage, room.session_id)
        await sink.event(OutputGenerated(heard.text[:_SHOWN], heard.characters))
        is_kept = heard.is_kept and await _keep(earlier.after(prompt, heard.text), room, session_id, sink)
        return AgentResult(None, "", backend, usage, session_id if is_kept else "")


async def _keep(now: Conversation, room: Room, session_id: str, sink: AgentSink) -> bool:
    """Whether the session can be gone on with. That it cannot takes nothing from the answer."""
    if not session_id:
        return False
    try:
        conversation.save(room.directory.work, now)
    except OSError as error:
        await sink.event(Logged(f"The session is not kept: {error.strerror or error}.", Severity.WARNING))
        return False
    room.session_id = session_id
    return True


def _variables(definition: OpenAIDefinition, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What the agent sees of the worker's environment, and what its definition sets."""
    names = (definition.base_url_variable, definition.api_key_variable, *NETWORK, *definition.environment)
    return {**passed(environ, names), **definition.set_environment}


def _backend(definition: OpenAIDefinition, model: str) -> ModelBackend:
    return ModelBackend(definition.provider, model, 0, supports_streaming=True, modalities=("text",))


def _earlier(request: AgentRequest, room: Room) -> Conversation:
    """The turns before this one."""
    if not request.session_id:
        return Conversation()
    try:
        return conversation.load(room.directory.work)
    except (OSError, msgspec.DecodeError) as error:
        raise CannotRun(_K.AGENT_ERROR, f"The session {request.session_id} cannot be read: {error}.") from error


def _new_id(definition: OpenAIDefinition) -> str:
    """A session that is not kept has none: whoever reads an id may try to go on with it."""
    return "" if definition.keep_sessions == 0 else str(uuid.uuid4())


def _judged(heard: Listener, form: AnswerForm) -> Ending:
    """How it went: by the model's word, and by what the definition promises of its answer."""
    ending = heard.answer.ending or WHOLE
    if ending.failure is not None or not form:
        return ending
    error = flaw(heard.text, form) if heard.is_kept else TOO_LONG
    return Ending(_K.BAD_OUTPUT, error) if error else ending


def _reported(model: str, usage: Usage) -> UsageReported:
    return UsageReported(
        model, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens
    )


KIND = AgentKind(OpenAIDefinition, OpenAIAgent)
