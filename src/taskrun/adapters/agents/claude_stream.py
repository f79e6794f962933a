"""What Claude Code says on its standard output (`--output-format stream-json`), understood line by line.

| type | says |
| --- | --- |
| `system` | `init`: the session begins; `api_retry`: a call of the model failed and is made again |
| `stream_event` | the API's own events, while the model speaks |
| `assistant` | a finished block of the model: text, thinking, or a tool that it wants to use |
| `user` | what a tool answered |
| `control_request` | the CLI asks, above all whether a tool may be used, and waits |
| `result` | the last word |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskrun.adapters.agents.claude_plan import Plan
from taskrun.adapters.agents.claude_sayings import Asked, Concluded, Saying
from taskrun.adapters.agents.claude_speech import Speech
from taskrun.adapters.agents.claude_thoughts import Thoughts
from taskrun.adapters.agents.claude_usage import Meter, run_usage
from taskrun.adapters.agents.loose import amount, mapping, mappings, number, text
from taskrun.adapters.agents.tool_summary import summary
from taskrun.domain.usage import usage_of
from taskrun.ports.agent_events import (
    Permission,
    PermissionAsked,
    Retried,
    SessionInitialized,
    ToolCompleted,
    ToolRequested,
)

#: The CLI speaks in the model's place: an API error as a message.
_SYNTHETIC = "<synthetic>"

#: How a question begins, of which no more may be read.
_QUESTION = re.compile(r'\{"type":"control_request","request_id":"(?P<id>[^"]+)","request":\{"subtype":"(?P<what>\w+)"')

#: With what the parts of a result begin that may be long (in a text this would be escaped), and what stands for the
#: rest of it: before it is said how the run went, nobody can say that it went well.
_LONG_IN_A_RESULT: Mapping[str, Mapping[str, Any]] = {
    ',"result":"': {},
    ',"permission_denials":[': {"result": "Claude Code's last word is too long to be understood."},
}

Handler = Callable[[Mapping[str, Any]], Sequence[Saying]]


class ClaudeStream:
    """Reads one run. Lines that it does not know are of no interest; what is no JSON object sets `garbled`."""

    def __init__(self, *, goes_on: bool = False) -> None:
        """`goes_on` tells that the session had runs before."""
        #: Something that should have been a message was none.
        self.garbled = False
        self._goes_on = goes_on
        self._model, self._session = "", ""
        #: HTTP's, of the call that failed last; 0 if it had none.
        self._status = 0
        self._speech = Speech()
        self._thoughts = Thoughts()
        self._plan = Plan()
        self._meter = Meter()
        #: Tool calls that were told to be denied.
        self._denied: set[str] = set()
        #: The blocks by which tools under way were asked for, by their id.
        self._tools: dict[str, Mapping[str, Any]] = {}
        self._lines: dict[Any, Handler] = {
            "system": self._system,
            "stream_event": self._streamed,
            "assistant": self._assistant,
            "user": self._user,
            "control_request": self._asked,
            "result": self._result,
        }
        self._notices: dict[Any, Handler] = {"init": self._opened, "api_retry": self._retried}
        self._events: dict[Any, Handler] = {
            "message_start": self._message_started,
            "content_block_delta": self._delta,
            "content_block_stop": lambda event: self._thoughts.finish(),
            "message_delta": lambda event: [self._meter.end(mapping(event.get("usage")), self._model)],
        }
        self._blocks: dict[Any, Handler] = {
            "text": lambda block: self._speech.confirm(text(block.get("text"))),
            "thinking": lambda block: self._thoughts.confirm(text(block.get("thinking"))),
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
        return _handled(self._lines, message.get("type"), message)

    def read_beginning(self, line: str) -> Sequence[Saying]:
        """What a line says that is too long, so that only its beginning is here: a question has to be answered, and a
        result ends the session, whose text was told while it came.

        Other such lines are what a tool wrote or answered; the session goes on without them.
        """
        if question := _QUESTION.match(line):
            return [Asked(question["id"], question["what"])]
        result = _beginning_of_result(line)
        return self._result(result) if result else ()

    def given_up(self, retry: Retried, seconds: float) -> Concluded:
        """In place of a last word: what is to be said of a session whose CLI wanted to try once more."""
        pause = f"it would be asked again in {retry.delay_ms / 1000:.0f} s"
        text = f"The model is not to be had within {seconds:.0f} s: {retry.error}; {pause}."
        usage = usage_of({} if self._meter.read.is_nothing else {self._model: self._meter.read})
        return Concluded(True, text, "", "api_error", "", self._status, 1, self._session, self._model, 0, usage)

    # Lines.

    def _system(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        return _handled(self._notices, message.get("subtype"), message)

    def _streamed(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        event = mapping(message.get("event"))
        return () if _of_subagent(message) else _handled(self._events, event.get("type"), event)

    def _assistant(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        body = mapping(message.get("message"))
        model, blocks = text(body.get("model")), mappings(body.get("content"))
        if model == _SYNTHETIC:
            return ()
        said: list[Saying] = []
        if not _of_subagent(message):
            self._model = model or self._model
            said += self._speech.begin(text(body.get("id")))
            said += [saying for block in blocks for saying in _handled(self._blocks, block.get("type"), block)]
        return said + [self._tool_requested(block) for block in blocks if block.get("type") == "tool_use"]

    def _user(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        results = [
            block
            for block in mappings(mapping(message.get("message")).get("content"))
            if block.get("type") == "tool_result"
        ]
        return [saying for result in results for saying in self._tool_completed(result, message)]

    def _asked(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        request = mapping(message.get("request"))
        asked = Asked(text(message.get("request_id")), text(request.get("subtype")))
        if not asked.is_about_a_tool:
            return [asked]
        tool, id = text(request.get("tool_name")), text(request.get("tool_use_id"))
        return [*self._denial(tool, id, mapping(request.get("input"))), asked]

    def _result(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        conclusion = self._conclusion(message)
        said: list[Saying] = [
            saying
            for denial in mappings(message.get("permission_denials"))
            for saying in self._denial(
                text(denial.get("tool_name")), text(denial.get("tool_use_id")), mapping(denial.get("tool_input"))
            )
        ]
        if not conclusion.is_error and conclusion.turns:
            said += self._speech.conclude(conclusion.text)
        return [*said, conclusion]

    # Notices.

    def _opened(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        self._model = text(message.get("model"))
        version = text(message.get("claude_code_version"))
        self._session = text(message.get("session_id"))
        return [SessionInitialized(self._session, self._model, version)]

    def _retried(self, message: Mapping[str, Any]) -> Sequence[Saying]:
        self._status = status = number(message.get("error_status"))
        error = f"{text(message.get('error'))} (HTTP {status})" if status else "The connection broke."
        return [Retried(error, number(message.get("attempt")), int(amount(message.get("retry_delay_ms")) or 0))]

    # While the model speaks.

    def _message_started(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        message = mapping(event.get("message"))
        self._thoughts.begin()
        self._meter.begin(message)
        return self._speech.begin(text(message.get("id")))

    def _delta(self, event: Mapping[str, Any]) -> Sequence[Saying]:
        delta = mapping(event.get("delta"))
        if delta.get("type") == "thinking_delta":
            return self._thoughts.add(text(delta.get("thinking")))
        return self._speech.add(text(delta.get("text"))) if delta.get("type") == "text_delta" else ()

    # Tools.

    def _tool_requested(self, block: Mapping[str, Any]) -> Saying:
        id = text(block.get("id"))
        self._tools[id] = block
        self._speech.pause()
        return ToolRequested(text(block.get("name")), id, summary(mapping(block.get("input"))))

    def _tool_completed(self, result: Mapping[str, Any], message: Mapping[str, Any]) -> Sequence[Saying]:
        id = text(result.get("tool_use_id"))
        block = self._tools.pop(id, {})
        tool, input, failed = text(block.get("name")), mapping(block.get("input")), result.get("is_error") is True
        completed = ToolCompleted(tool, id, "error" if failed else "ok", _size(result.get("content")))
        if failed:
            denied = self._denial(tool, id, input) if _was_denied(message, id) else ()
            return [*denied, completed]
        return [completed, *self._plan.used(tool, input, mapping(message.get("tool_use_result")))]

    def _denial(self, tool: str, id: str, input: Mapping[str, Any]) -> Sequence[Saying]:
        """That a call is denied; it is told once, however often the CLI comes back to it."""
        if id in self._denied:
            return ()
        self._denied.add(id)
        return [PermissionAsked(tool, Permission.DENIED, id, summary(input))]

    # The end.

    def _conclusion(self, message: Mapping[str, Any]) -> Concluded:
        errors = message.get("errors")
        model_usage = mapping(mapping(message.get("modelUsage")).get(self._model))
        return Concluded(
            # Only a plain "no error" is one.
            is_error=message.get("is_error") is not False,
            text=text(message.get("result")) or "; ".join(map(str, errors if isinstance(errors, list) else ())),
            subtype=text(message.get("subtype")),
            terminal_reason=text(message.get("terminal_reason")),
            stop_reason=text(message.get("stop_reason")),
            api_status=number(message.get("api_error_status")),
            turns=number(message.get("num_turns")),
            session_id=text(message.get("session_id")),
            model=self._model,
            context_window=number(model_usage.get("contextWindow")),
            usage=run_usage(message, self._model, goes_on=self._goes_on),
        )


def _handled(handlers: Mapping[Any, Handler], kind: Any, message: Mapping[str, Any]) -> Sequence[Saying]:
    handler = handlers.get(kind) if isinstance(kind, str) else None
    return handler(message) if handler else ()


def _of_subagent(message: Mapping[str, Any]) -> bool:
    """Said to the agent by a helper of its own: not the agent's words."""
    return bool(message.get("parent_tool_use_id"))


def _was_denied(message: Mapping[str, Any], id: str) -> bool:
    """Whether the call did not fail, but was not made. A rule may have forbidden it without asking us."""
    notes = [note for note in mappings(message.get("tool_result_meta")) if note.get("id") == id]
    return any(mapping(note.get("permission_decision")).get("decision") == "reject" for note in notes)


def _size(content: Any) -> int:
    """Characters of a tool's answer."""
    if isinstance(content, str):
        return len(content)
    return sum(len(text(part.get("text"))) for part in mappings(content))


def _beginning_of_result(line: str) -> Mapping[str, Any] | None:
    """A result of which only the beginning is here, as far as it can be understood; None if it is none. What the CLI
    counts comes first in it, then what it denied, then how it went, and then the text."""
    for cut, rest in _LONG_IN_A_RESULT.items():
        head, found, _ = line.partition(cut)
        result = _object(head + "}") if found else {}
        if "usage" in result and "session_id" in result:
            return {**result, **rest}
    return None


def _object(text: str) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}
