"""One question to the endpoint: its answer passed on as it comes, and asked again where that harms nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from taskrun.adapters.agents.openai import chat, responses
from taskrun.adapters.agents.openai.answer import Answer
from taskrun.adapters.agents.openai.conversation import Message
from taskrun.adapters.agents.openai.definition import OpenAIDefinition
from taskrun.adapters.agents.openai.endpoint import Endpoint
from taskrun.adapters.agents.openai.failures import CallFailed
from taskrun.adapters.agents.openai.waiting import Patience
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Retried, Thought
from taskrun.ports.agents import AgentSink

#: For each API its path, what is asked, and what the answer is read with.
_APIS: Mapping[str, tuple[str, Callable[[OpenAIDefinition, Sequence[Message]], dict[str, Any]], type[Answer]]] = {
    "chat": (chat.PATH, chat.body, chat.ChatAnswer),
    "responses": (responses.PATH, responses.body, responses.ResponsesAnswer),
}

#: Characters. A longer answer is passed on, but neither checked nor remembered.
MAX_KEPT = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Waiting:
    """How time passes, in seconds."""

    pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


class Listener:
    """Passes an answer on as it comes, and keeps what is needed of it afterwards."""

    def __init__(self, answer: Answer, sink: AgentSink) -> None:
        self.answer = answer
        self.characters = 0
        self._sink = sink
        self._kept: list[str] = []

    async def hear(self, event: Mapping[str, Any]) -> None:
        """Raises `CallFailed` for an event that tells an error."""
        for piece in self.answer.read(event):
            if isinstance(piece, Thought):
                await self._sink.event(piece)
            else:
                await self._say(piece)

    @property
    def is_kept(self) -> bool:
        """It was short enough for that."""
        return self.characters <= MAX_KEPT

    @property
    def text(self) -> str:
        """What was said, or the beginning of what is not kept."""
        return "".join(self._kept)

    async def _say(self, text: str) -> None:
        self.characters += len(text)
        if self.is_kept:
            self._kept.append(text)
        await self._sink.text(text)


async def ask(
    endpoint: Endpoint, definition: OpenAIDefinition, messages: Sequence[Message], sink: AgentSink, waiting: Waiting
) -> Listener:
    """The answer, which has an ending. Raises `CallFailed` when there is none, and no patience left to try again."""
    patience = Patience(waiting.clock)
    while True:
        path, body, answer = _APIS[definition.api]
        listener = Listener(answer(), sink)
        try:
            await _listen(endpoint, path, _completed(body(definition, messages), definition), listener)
            return listener
        except CallFailed as failure:
            pause = _pause(failure, listener, patience)
            await sink.event(Retried(str(failure), patience.failed, round(pause * 1000)))
        await waiting.pause(pause)


async def _listen(endpoint: Endpoint, path: str, body: Mapping[str, Any], listener: Listener) -> None:
    try:
        async with aclosing(endpoint.events(path, body)) as events:
            async for event in events:
                await listener.hear(event)
    except CallFailed:
        # Once the model has said that it is done, a connection that breaks takes nothing from its answer.
        if listener.answer.ending is None:
            raise
    if listener.answer.ending is None:
        message = "The endpoint's answer ended in the middle."
        raise CallFailed(FailureKind.AGENT_UNAVAILABLE, message, is_passing=True)


def _pause(failure: CallFailed, listener: Listener, patience: Patience) -> float:
    """Seconds until the next try. Raises the failure if there is to be none."""
    if listener.characters:
        # What was said cannot be taken back, and a second answer behind half a first one would be none.
        kind = FailureKind.AGENT_ERROR if failure.kind is FailureKind.AGENT_UNAVAILABLE else failure.kind
        raise CallFailed(kind, str(failure)) from failure
    pause = patience.pause(failure.delay) if failure.is_passing else None
    if pause is None:
        raise failure
    return pause


def _completed(body: dict[str, Any], definition: OpenAIDefinition) -> dict[str, Any]:
    temperature = {} if definition.temperature is None else {"temperature": definition.temperature}
    return {"model": definition.model, "stream": True, **temperature, **body, **definition.body}
