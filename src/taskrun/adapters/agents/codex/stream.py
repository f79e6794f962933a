"""What `codex exec --json` says on its standard output, understood line by line.

A thread is a session, a turn what one run adds to it, and an item one thing in it: words, a thought, a command. The
words come whole, a message at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskrun.adapters.agents.loose import mapping, mappings, number, text
from taskrun.domain.records import Usage
from taskrun.ports.agent_events import (
    AgentEvent,
    Logged,
    PlanMade,
    Retried,
    SessionInitialized,
    Severity,
    Thought,
    ToolCompleted,
    ToolRequested,
)

#: Words of the model, or something else that it does.
Saying = str | AgentEvent

_Item = Mapping[str, Any]

#: A call of the model is made again; the number counts the tries.
_RECONNECTING = re.compile(r"Reconnecting\.\.\. (?P<attempt>\d+)/\d+ \((?P<error>.*)\)", re.DOTALL)

#: For each item that is a tool's use: what the tool is called, what it was asked, and what it answered.
_TOOLS: Mapping[str, tuple[Callable[[_Item], str], Callable[[_Item], str], Callable[[_Item], str]]] = {
    "command_execution": (
        lambda item: "shell",
        lambda item: text(item.get("command")),
        lambda item: text(item.get("aggregated_output")),
    ),
    "file_change": (
        lambda item: "apply_patch",
        lambda item: ", ".join(f"{text(c.get('kind'))} {text(c.get('path'))}" for c in mappings(item.get("changes"))),
        lambda item: "",
    ),
    "mcp_tool_call": (
        lambda item: f"{text(item.get('server'))}.{text(item.get('tool'))}",
        lambda item: json.dumps(item.get("arguments")),
        lambda item: json.dumps(item["result"]) if item.get("result") else "",
    ),
    "web_search": (lambda item: "web_search", lambda item: text(item.get("query")), lambda item: ""),
}


class CodexStream:
    """Reads one run. Lines that it does not know are of no interest; what is no JSON object sets `garbled`."""

    def __init__(self, model: str = "") -> None:
        #: The one that it is told to ask; it does not say which it is.
        self._model = model
        #: Something that should have been an event was none.
        self.garbled = False
        self.session_id = ""
        #: The model said something.
        self.answered = False
        #: The turn ended as it should.
        self.completed = False
        #: Why it did not, in Codex's words.
        self.error = ""
        #: Why it last asked its model anew.
        self.trouble = ""
        #: Of the whole session; None if it was not told.
        self.usage: Usage | None = None
        #: Calls of tools that were told and have not ended.
        self._begun: set[str] = set()
        self._last = "\n"
        self._handlers: Mapping[Any, Callable[[Mapping[str, Any]], Sequence[Saying]]] = {
            "thread.started": self._thread,
            "turn.completed": self._completed,
            "turn.failed": self._failed,
            "error": self._error,
            "item.started": lambda event: self._began(mapping(event.get("item"))),
            "item.updated": lambda event: _plan(mapping(event.get("item"))),
            "item.completed": lambda event: self._ended(mapping(event.get("item"))),
        }

    @property
    def is_at_work(self) -> bool:
        """Whether a tool is; otherwise its model is asked."""
        return bool(self._begun)

    def read(self, line: str) -> Sequence[Saying]:
        """What this line says."""
        if not line.strip():
            return ()
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self.garbled = True
            return ()
        handler = self._handlers.get(text(event.get("type")))
        return handler(event) if handler else ()

    # The run.

    def _thread(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        self.session_id = text(event.get("thread_id"))
        return [SessionInitialized(self.session_id, self._model)]

    def _completed(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        told = mapping(event.get("usage"))
        cached, written = number(told.get("cached_input_tokens")), number(told.get("cache_write_input_tokens"))
        self.completed = True
        # What a cache gave or took is a part of Codex's input, and what was thought a part of its output.
        asked = max(0, number(told.get("input_tokens")) - cached - written)
        self.usage = Usage(asked, number(told.get("output_tokens")), cached, written)
        return ()

    def _failed(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        self.completed = False
        self.error = text(mapping(event.get("error")).get("message")) or "Codex does not say why its turn failed."
        return ()

    def _error(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        message = text(event.get("message"))
        if retry := _RECONNECTING.fullmatch(message):
            self.trouble = retry["error"]
            return [Retried(retry["error"], int(retry["attempt"]))]
        return [Logged(message, Severity.ERROR)]

    # Items.

    def _began(self, item: _Item) -> Sequence[Saying]:
        tool = _TOOLS.get(text(item.get("type")))
        if tool is None:
            return _plan(item)
        name, asked, _ = tool
        self._begun.add(text(item.get("id")))
        return [ToolRequested(name(item), text(item.get("id")), asked(item))]

    def _ended(self, item: _Item) -> Sequence[Saying]:
        kind = text(item.get("type"))
        if kind in _TOOLS:
            return self._tool_ended(item)
        if kind == "agent_message":
            return self._speak(text(item.get("text")))
        if kind == "reasoning":
            return [Thought(text(item.get("text")))]
        if kind == "error":
            return [Logged(text(item.get("message")), Severity.WARNING)]
        return _plan(item)

    def _tool_ended(self, item: _Item) -> Sequence[Saying]:
        # One that is over at once is told when it is over.
        began = () if text(item.get("id")) in self._begun else self._began(item)
        self._begun.discard(text(item.get("id")))
        name, _, answer = _TOOLS[text(item.get("type"))]
        outcome = "error" if item.get("status") in ("failed", "declined") else "ok"
        return [*began, ToolCompleted(name(item), text(item.get("id")), outcome, len(answer(item)))]

    def _speak(self, words: str) -> Sequence[Saying]:
        if not words:
            return ()
        # Two messages are two paragraphs.
        separator = "" if self._last.endswith("\n") else "\n"
        self._last, self.answered = words, True
        return [separator + words]


def _plan(item: _Item) -> Sequence[Saying]:
    if item.get("type") != "todo_list":
        return ()
    steps = mappings(item.get("items"))
    lines = (f"[{'x' if step.get('completed') is True else ' '}] {text(step.get('text'))}" for step in steps)
    return [PlanMade("\n".join(lines))]
