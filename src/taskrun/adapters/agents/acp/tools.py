"""Tool calls as an agent tells them: bit by bit, each bit replacing what it repeats."""

from __future__ import annotations

import json
from typing import Any

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.peer import Json
from taskrun.ports.agent_events import AgentEvent, ToolCompleted, ToolRequested

_SUMMARY_CHARACTERS = 200

#: The protocol's words for how a call ended.
_COMPLETED = "completed"
_OUTCOMES = {_COMPLETED: "ok", "failed": "error"}
#: It waits for its input or for somebody's leave.
_PENDING = "pending"


class ToolCall:
    """One call, from its first word to its end. Of what goes in and comes out it keeps a summary and a size."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._words: dict[str, str] = {}
        self._input = ""
        #: Its input is still being written.
        self._unfinished = False
        self._result_size = 0
        self._requested = False
        self._completed = False

    @property
    def id(self) -> str:
        """The agent's own, unique in its session."""
        return self._id

    @property
    def names(self) -> tuple[str, ...]:
        """What the tool goes by: its own name where the agent tells it, and the protocol's word for its kind."""
        return tuple(self._words[key] for key in ("name", "kind") if key in self._words)

    @property
    def name(self) -> str:
        """The best of its names; what it does, for an agent that tells none."""
        return (*self.names, self._words.get("title", ""))[0]

    @property
    def input(self) -> str:
        """What goes in, short: its first text, such as a command or a path, else what the call does."""
        return self._input or _short(self._words.get("title", ""))

    @property
    def succeeded(self) -> bool:
        """It was made, and did what it should."""
        return self._words.get("status") == _COMPLETED

    def update(self, bit: Json) -> list[AgentEvent]:
        """Takes in what is new of the call; returns what is to be told of it, once it is known well enough."""
        self._take(bit)
        status = self._words.get("status")
        events: list[AgentEvent] = []
        if not (status == _PENDING and self._unfinished):
            events += self.request()
        if status in _OUTCOMES and not self._completed:
            self._completed = True
            events.append(ToolCompleted(self.name, self.id, _OUTCOMES[status], self._result_size))
        return events

    def request(self) -> list[AgentEvent]:
        """The call is to be told now, if it has not been."""
        if self._requested:
            return []
        self._requested = True
        return [ToolRequested(self.name, self.id, self.input)]

    def _take(self, bit: Json) -> None:
        for key in ("name", "kind", "title", "status"):
            if word := loose.text(bit.get(key)):
                self._words[key] = word
        given = bit.get("rawInput")
        if given is not None:
            self._unfinished, self._input = given == {}, _summary(given)
        # What the agent shows of a result may be dressed up, so what the tool itself said goes before it.
        self._result_size = _size(bit.get("rawOutput")) or _shown(bit.get("content")) or self._result_size


class ToolCalls:
    """All calls of a session by their ids."""

    def __init__(self) -> None:
        self._calls: dict[str, ToolCall] = {}

    def of(self, bit: Json) -> ToolCall:
        """The call that this is a bit of."""
        id = loose.text(bit.get("toolCallId"))
        return self._calls.setdefault(id, ToolCall(id))

    def known(self, bit: Json) -> ToolCall | None:
        """The same, if there is one: not everything that is told is about a call."""
        return self._calls.get(loose.text(bit.get("toolCallId")))


def _summary(given: Any) -> str:
    if isinstance(given, str):
        return _short(given)
    texts = (text for text in loose.mapping(given).values() if isinstance(text, str) and text)
    return _short(next(texts, "") or (json.dumps(given) if given else ""))


def _short(text: str) -> str:
    return text if len(text) <= _SUMMARY_CHARACTERS else f"{text[: _SUMMARY_CHARACTERS - 4]} ..."


def _size(output: Any) -> int:
    """Characters; 0 for nothing."""
    return len(output if isinstance(output, str) else json.dumps(output)) if output else 0


def _shown(content: Any) -> int:
    """Characters of the texts."""
    blocks = (loose.mapping(part.get("content")) for part in loose.mappings(content))
    return sum(len(loose.text(block.get("text"))) for block in blocks)
