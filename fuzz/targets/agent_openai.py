"""What an endpoint with an API of OpenAI's sends, as server-sent events."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import product
from typing import Any

from fuzz.agents import Sink
from fuzz.loop import in_the_loop
from fuzz.target import Target
from fuzz.wire import RUN, gets_through
from taskrun.adapters.agents.containment.lines import MAX_LINE_BYTES
from taskrun.adapters.agents.openai.asking import Listener
from taskrun.adapters.agents.openai.chat import ChatAnswer
from taskrun.adapters.agents.openai.endpoint import _object
from taskrun.adapters.agents.openai.events import EventReader, TooLong
from taskrun.adapters.agents.openai.failures import CallFailed
from taskrun.adapters.agents.openai.responses import ResponsesAnswer
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import ModelBackend
from taskrun.domain.status import RunStatus

#: Bytes of an event; what is longer comes in parts.
_SHORT = 48


async def _take(case: bytes) -> None:
    for kind, limit in product((ChatAnswer, ResponsesAnswer), (MAX_LINE_BYTES, _SHORT)):
        answer = kind()
        listener = Listener(answer, Sink())
        with suppress(CallFailed, TooLong):
            for data in EventReader(limit).feed(case):
                await listener.hear(_object(data))
        backend = ModelBackend("openai", answer.model)
        gets_through([RunReport(RUN, RunStatus.COMPLETED, "", None, backend, answer.usage)])


def _events(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def _chat(reason: str | None = None, **delta: str) -> dict[str, Any]:
    return {"model": "m", "choices": [{"delta": delta, "finish_reason": reason}]}


_CHAT = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
_RESPONSES = {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}}

TARGET = Target(
    in_the_loop(_take),
    {
        "chat": _events(_chat(reasoning="hm"), _chat(content="hello"), _chat("stop"), {"choices": [], "usage": _CHAT}),
        "chat_refused": _events(_chat(refusal="no"), _chat("stop")),
        "chat_error": _events({"error": {"message": "why", "type": "server_error", "code": 529}}),
        "responses": _events(
            {"type": "response.created", "response": {"model": "m"}},
            {"type": "response.reasoning_text.delta", "delta": "hm"},
            {"type": "response.output_text.delta", "delta": "hello"},
            {"type": "response.completed", "response": {"model": "m", "usage": _RESPONSES}},
        ),
        "responses_cut": _events(
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}}
        ),
        "responses_failed": _events({"type": "response.failed", "response": {"error": {"code": "x", "message": "y"}}}),
    },
)
