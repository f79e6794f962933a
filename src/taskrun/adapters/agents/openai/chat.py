"""Chat completions: what most providers and model servers understand.

https://platform.openai.com/docs/api-reference/chat-streaming. Reasoning is no part of OpenAI's own; the others call it
`reasoning_content` (DeepSeek, vLLM, llama.cpp) or `reasoning` (OpenRouter, Ollama).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskrun.adapters.agents.loose import mapping, mappings, text
from taskrun.adapters.agents.openai import answer
from taskrun.adapters.agents.openai.answer import Answer, Piece
from taskrun.adapters.agents.openai.conversation import Message
from taskrun.adapters.agents.openai.definition import OpenAIDefinition
from taskrun.adapters.agents.openai.failures import told
from taskrun.ports.agent_events import Thought

PATH = "chat/completions"

_ENDINGS = {
    "length": answer.CUT_BY_LIMIT,
    "content_filter": answer.FILTERED,
    "tool_calls": answer.WANTS_TOOL,
    "function_call": answer.WANTS_TOOL,
}


def body(definition: OpenAIDefinition, messages: Sequence[Message]) -> dict[str, Any]:
    """The request, without what the definition adds to it."""
    system = [{"role": "system", "content": definition.system_prompt}] if definition.system_prompt else []
    limit = {"max_completion_tokens": definition.max_output_tokens} if definition.max_output_tokens else {}
    said = [{"role": message.role, "content": message.content} for message in messages]
    return {"messages": [*system, *said], "stream_options": {"include_usage": True}, **limit}


class ChatAnswer(Answer):
    """See `Answer`."""

    def __init__(self) -> None:
        super().__init__()
        self._refuses = False

    def read(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        """See `Answer.read`."""
        if event.get("error"):
            raise told(event["error"])
        self.model = text(event.get("model")) or self.model
        # It comes in an event of its own, the last one.
        if usage := mapping(event.get("usage")):
            self.usage = answer.usage_of(usage, ("prompt_tokens", "completion_tokens"))
        pieces = []
        for choice in mappings(event.get("choices"))[:1]:
            pieces += self._delta(mapping(choice.get("delta")))
            if reason := text(choice.get("finish_reason")):
                self.ending = answer.REFUSED if self._refuses else _ENDINGS.get(reason, answer.WHOLE)
        return pieces

    def _delta(self, delta: Mapping[str, Any]) -> list[Piece]:
        thought = text(delta.get("reasoning_content")) or text(delta.get("reasoning"))
        refusal = text(delta.get("refusal"))
        self._refuses = self._refuses or bool(refusal)
        pieces: list[Piece] = [Thought(thought)] if thought else []
        return pieces + [said for said in (text(delta.get("content")), refusal) if said]
