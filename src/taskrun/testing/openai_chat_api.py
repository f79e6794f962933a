"""OpenAI's chat completions, as most other providers and model servers have them too: `POST /v1/chat/completions`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskrun.testing.model_api import StreamEvent, estimated_tokens, words
from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    ModelRequest,
    Say,
    Spoken,
    Stall,
    Tokens,
    Turn,
    UseTool,
)
from taskrun.testing.openai_errors import error_body, limit_headers

_SYSTEM = ("system", "developer")

#: The API's word for each reason to stop.
_FINISH = {"end_turn": "stop", "refusal": "stop", "max_tokens": "length", "content_filter": "content_filter"}


class OpenAIChat:
    """Implements `ModelApi`."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> ModelRequest:
        messages: Sequence[Mapping[str, Any]] = body.get("messages") or ()
        system = "\n".join(_text(message) for message in messages if message.get("role") in _SYSTEM)
        turns = tuple(turn for message in messages for turn in _turn(message))
        is_result = bool(messages) and messages[-1].get("role") == "tool"
        return ModelRequest(system, turns, _text(messages[-1]) if is_result else None, body, headers)

    def whole(self, reply: Spoken, request: ModelRequest, number: int) -> Mapping[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        for part in _parts(reply, number):
            for name, value in part.items():
                message[name] = (message.get(name) or type(value)()) + value
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
        return {**_envelope(request, number, "chat.completion", [choice]), "usage": _usage(reply, request)}

    def events(self, reply: Spoken, request: ModelRequest, number: int) -> Iterator[StreamEvent]:
        def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> StreamEvent:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            data = _envelope(request, number, "chat.completion.chunk", [choice])
            return StreamEvent(data, is_word="content" in delta)

        yield chunk({"role": "assistant"})
        for part in _parts(reply, number):
            yield chunk(part)
        if isinstance(reply, BreakOff | Stall):
            yield from _break(reply)
            return
        yield chunk({}, _finish_reason(reply))
        if (request.body.get("stream_options") or {}).get("include_usage"):
            usage = {"usage": _usage(reply, request)}
            yield StreamEvent({**_envelope(request, number, "chat.completion.chunk", []), **usage})
        yield StreamEvent("[DONE]")

    def error(self, fail: Fail) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        return error_body(fail.status, fail.message), limit_headers(fail)


# What is asked.


def _turn(message: Mapping[str, Any]) -> Iterator[Turn]:
    role, text = message.get("role"), _text(message).strip()
    if text and role in ("user", "assistant"):
        yield Turn(role, text)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if part.get("type") == "text")


# What is answered.


def _parts(reply: Spoken, number: int) -> Iterator[dict[str, Any]]:
    """Each piece of the answer, as a stream has it."""
    yield from ({"reasoning_content": word} for word in words(reply.thinking))
    name = "refusal" if isinstance(reply, Say) and reply.stop_reason == "refusal" else "content"
    yield from ({name: word} for word in words(reply.text))
    if isinstance(reply, UseTool):
        function = {"name": reply.name, "arguments": json.dumps(reply.input)}
        yield {"tool_calls": [{"index": 0, "id": f"call_{number:024}", "type": "function", "function": function}]}


def _break(reply: Spoken) -> Iterator[StreamEvent]:
    if isinstance(reply, BreakOff) and reply.error:
        yield StreamEvent(error_body(500, reply.error))


def _finish_reason(reply: Spoken) -> str:
    return _FINISH[reply.stop_reason] if isinstance(reply, Say) else "tool_calls"


def _usage(reply: Spoken, request: ModelRequest) -> Mapping[str, Any]:
    estimated = Tokens(estimated_tokens(json.dumps(request.body.get("messages"))), estimated_tokens(reply.text))
    tokens = reply.tokens or estimated
    # What a cache gave or took is a part of the prompt here, and what was thought a part of the answer.
    prompt = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "completion_tokens_details": {"reasoning_tokens": len(words(reply.thinking))},
    }


def _envelope(request: ModelRequest, number: int, kind: str, choices: list[Any]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number:024}",
        "object": kind,
        "created": 0,
        "model": request.body.get("model", ""),
        "choices": choices,
    }
