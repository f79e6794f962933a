"""What Claude Code says on its standard output (`--output-format stream-json`), understood line by line.

Text comes three times: as deltas while the model speaks (`stream_event`), whole with each finished block (`assistant`),
and the last of it in the `result`. It is given on once, as early as it is known: the deltas, then whatever a later line
has beyond them. A message whose connection broke is begun anew by the CLI; what was given on of it cannot be taken
back, so the text says that it was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskrun.adapters.agents.claude_usage import session_usage
from taskrun.domain.records import Usage

#: Stands where a message was cut off and begins anew.
CUT_OFF = "\n[The connection to the model broke; its answer begins anew.]\n"

#: The CLI speaks in the model's place: an API error as a message.
_SYNTHETIC = "<synthetic>"


@dataclass(frozen=True, slots=True)
class Opened:
    """A session began."""

    session_id: str
    model: str
    cli_version: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """The model said more."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolAsked:
    """The model wants a tool to be used."""

    id: str
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """The tool was used, or was denied."""

    id: str
    name: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Concluded:
    """The last word of a session."""

    is_error: bool
    text: str
    subtype: str = ""
    terminal_reason: str = ""
    stop_reason: str = ""
    #: HTTP status of the API's answer that ended it; 0 if there was none.
    api_status: int = 0
    turns: int = 0
    session_id: str = ""
    #: The model that spoke last.
    model: str = ""
    context_window: int = 0
    usage: Usage = field(default_factory=Usage)


Saying = Opened | Spoke | ToolAsked | ToolAnswered | Concluded


class ClaudeStream:
    """Reads one session. Lines that it does not know are of no interest; what is no JSON object sets `garbled`."""

    def __init__(self) -> None:
        #: Something that should have been a message was none.
        self.garbled = False
        self._model = ""
        self._tools: dict[str, str] = {}
        self._message = ""
        #: Pieces of the current message, given on but not yet confirmed by a whole block.
        self._draft: list[str] = []
        self._confirmed: list[str] = []
        #: What was given on last, and whether a tool has been used since.
        self._last = "\n"
        self._tool_used = False
        self._handlers: dict[Any, Callable[[Mapping[str, Any]], Sequence[Saying]]] = {
            "system": self._system,
            "stream_event": self._streamed,
            "assistant": self._assistant,
            "user": self._user,
            "result": self._result,
        }
        self._events: dict[Any, Callable[[Mapping[str, Any]], Sequence[Saying]]] = {
            "message_start": lambda event: self._begin(_text(_map(event.get("message")).get("id"))),
            "content_block_delta": self._delta,
        }

    def read(self, line: str) -> Sequence[Saying]:
        """What this line says."""
        if not line.strip():
            return ()
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.garbled = True
            return ()
        handler = self._handlers.get(message.get("type"))
        return handler(message) if handler else ()

    # Lines.

    def _system(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        if message.get("subtype") != "init":
            return ()
        self._model = _text(message.get("model"))
        return [Opened(_text(message.get("session_id")), self._model, _text(message.get("claude_code_version")))]

    def _streamed(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        event = _map(message.get("event"))
        handler = self._events.get(event.get("type"))
        return handler(event) if handler and not _of_subagent(message) else ()

    def _assistant(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        body = _map(message.get("message"))
        model = _text(body.get("model"))
        if model == _SYNTHETIC:
            return ()
        said: list[Saying] = []
        if not _of_subagent(message):
            self._model = model or self._model
            said += self._begin(_text(body.get("id")))
            for block in _blocks(body, "text"):
                said += self._confirm(_text(block.get("text")))
        for block in _blocks(body, "tool_use"):
            said.append(self._tool_asked(block))
        return said

    def _user(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        return [
            ToolAnswered(id, self._tools.pop(id, ""), block.get("is_error") is True)
            for block in _blocks(_map(message.get("message")), "tool_result")
            for id in [_text(block.get("tool_use_id"))]
        ]

    def _result(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        conclusion = _conclusion(message, self._model)
        spoken = "".join(self._confirmed + self._draft)
        if conclusion.is_error or conclusion.turns == 0 or conclusion.text.strip() in spoken:
            return [conclusion]
        return [*self._begin(""), *self._speak(conclusion.text), conclusion]

    # Text.

    def _begin(self, message_id: str) -> Sequence[Saying]:
        """From here on the message of this id is spoken."""
        if message_id and message_id == self._message:
            return ()
        cut_off = [Spoke(CUT_OFF)] if self._draft else []
        self._message = message_id
        self._draft, self._confirmed = [], []
        return cut_off

    def _delta(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        delta = _map(event.get("delta"))
        return self._speak(_text(delta.get("text"))) if delta.get("type") == "text_delta" else ()

    def _speak(self, text: str) -> Sequence[Saying]:
        if not text:
            return ()
        self._draft.append(text)
        # What was said before a tool's use and what is said after it are two paragraphs.
        separator = "\n" if self._tool_used and not self._last.endswith("\n") else ""
        self._last, self._tool_used = text, False
        return [Spoke(separator + text)]

    def _confirm(self, block: str) -> Sequence[Saying]:
        """A text block is complete: gives on what the deltas did not have of it."""
        draft = "".join(self._draft)
        known = draft.startswith(block)
        said = () if known else self._speak(block.removeprefix(draft))
        self._draft = [draft.removeprefix(block)] if known and draft != block else []
        self._confirmed.append(block)
        return said

    def _tool_asked(self, block: Mapping[str, Any]) -> ToolAsked:
        asked = ToolAsked(_text(block.get("id")), _text(block.get("name")), _map(block.get("input")))
        self._tools[asked.id] = asked.name
        self._tool_used = True
        return asked


def _conclusion(message: Mapping[str, Any], model: str) -> Concluded:
    errors = message.get("errors")
    text = _text(message.get("result")) or "; ".join(map(str, errors if isinstance(errors, list) else ()))
    return Concluded(
        # Only a plain "no error" is one.
        is_error=message.get("is_error") is not False,
        text=text,
        subtype=_text(message.get("subtype")),
        terminal_reason=_text(message.get("terminal_reason")),
        stop_reason=_text(message.get("stop_reason")),
        api_status=_number(message.get("api_error_status")),
        turns=_number(message.get("num_turns")),
        session_id=_text(message.get("session_id")),
        model=model,
        context_window=_number(_map(_map(message.get("modelUsage")).get(model)).get("contextWindow")),
        usage=session_usage(message),
    )


def _of_subagent(message: Mapping[str, Any]) -> bool:
    """Said to the agent by a helper of its own: not the agent's words."""
    return bool(message.get("parent_tool_use_id"))


def _blocks(body: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    content = body.get("content")
    blocks = content if isinstance(content, list) else ()
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == kind]


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
