"""Responses: OpenAI's newer API. It can keep conversations; we keep our own, so that the endpoint stays stateless.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskrun.adapters.agents.loose import mapping, text
from taskrun.adapters.agents.openai import answer
from taskrun.adapters.agents.openai.answer import Answer, Piece
from taskrun.adapters.agents.openai.conversation import Message
from taskrun.adapters.agents.openai.definition import OpenAIDefinition
from taskrun.adapters.agents.openai.failures import told
from taskrun.ports.agent_events import Thought

PATH = "responses"

_INCOMPLETE = {"content_filter": answer.FILTERED}
_CALLS = {"function_call", "custom_tool_call"}


def body(definition: OpenAIDefinition, messages: Sequence[Message]) -> dict[str, Any]:
    """The request, without what the definition adds to it."""
    system = {"instructions": definition.system_prompt} if definition.system_prompt else {}
    limit = {"max_output_tokens": definition.max_output_tokens} if definition.max_output_tokens else {}
    said = [{"role": message.role, "content": message.content} for message in messages]
    return {"input": said, "store": False, **system, **limit}


class ResponsesAnswer(Answer):
    """See `Answer`."""

    def __init__(self) -> None:
        super().__init__()
        self._refuses = False
        self._wants_tool = False
        self._handlers: Mapping[Any, Callable[[Mapping[str, Any]], Sequence[Piece]]] = {
            "response.created": self._created,
            "response.output_item.added": self._added,
            "response.output_text.delta": lambda event: [text(event.get("delta"))],
            "response.refusal.delta": self._refused,
            "response.reasoning_summary_text.delta": _thought,
            "response.reasoning_text.delta": _thought,
            "response.completed": self._ended,
            "response.incomplete": self._ended,
            "response.failed": self._ended,
            "error": self._broken,
        }

    def read(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        """See `Answer.read`."""
        handler = self._handlers.get(text(event.get("type")))
        return handler(event) if handler else ()

    def _created(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        self.model = text(mapping(event.get("response")).get("model"))
        return ()

    def _added(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        self._wants_tool = self._wants_tool or mapping(event.get("item")).get("type") in _CALLS
        return ()

    def _refused(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        self._refuses = True
        return [text(event.get("delta"))]

    def _ended(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        response = mapping(event.get("response"))
        self.model = text(response.get("model")) or self.model
        if usage := mapping(response.get("usage")):
            self.usage = answer.usage_of(usage, ("input_tokens", "output_tokens"))
        if event["type"] == "response.failed":
            raise told(response.get("error"))
        self.ending = self._judged(response) if event["type"] == "response.completed" else _cut(response)
        return ()

    def _judged(self, response: Mapping[str, Any]) -> answer.Ending:
        if self._refuses:
            return answer.REFUSED
        return answer.WANTS_TOOL if self._wants_tool else answer.WHOLE

    def _broken(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        # The API's own has its fields at the top, that of some servers in an object.
        raise told(event.get("error") or event)


def _thought(event: Mapping[str, Any]) -> Sequence[Piece]:
    delta = text(event.get("delta"))
    return [Thought(delta)] if delta else ()


def _cut(response: Mapping[str, Any]) -> answer.Ending:
    reason = text(mapping(response.get("incomplete_details")).get("reason"))
    return _INCOMPLETE.get(reason, answer.CUT_BY_LIMIT)
