"""The streaming Messages API, as Claude Code asks it: `POST /v1/messages`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
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

#: Claude Code puts these into what the user says.
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class AnthropicMessages:
    """Implements `ModelApi`."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> ModelRequest:
        messages = body.get("messages") or ()
        turns = tuple(turn for message in messages for turn in _turn(message))
        return ModelRequest(_text(body.get("system")), turns, _tool_result(messages), body, headers)

    def whole(self, reply: Spoken, request: ModelRequest, number: int) -> Mapping[str, Any]:
        blocks = [start | final for start, _, final in _blocks(reply, number)]
        usage = _usage(reply, request)
        return _message(request, number, blocks, usage, _stop_reason(reply))

    def events(self, reply: Spoken, request: ModelRequest, number: int) -> Iterator[StreamEvent]:
        usage = _usage(reply, request)
        message = _message(request, number, [], {**usage, "output_tokens": 1})
        is_cut = isinstance(reply, BreakOff | Stall)
        yield _event("message_start", message=message)
        for index, (start, deltas, _) in enumerate(_blocks(reply, number)):
            yield _event("content_block_start", index=index, content_block=start)
            for delta in deltas:
                yield _event("content_block_delta", index=index, delta=delta)
            if is_cut and start["type"] == "text":
                break
            yield _event("content_block_stop", index=index)
        if is_cut:
            yield from _break(reply)
            return
        delta = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage={"output_tokens": usage["output_tokens"]})
        yield _event("message_stop")

    def error(self, fail: Fail) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        return _error(_ERROR_TYPES.get(fail.status, "api_error"), fail.message), _limits(fail)


# What is asked.


def _turn(message: Mapping[str, Any]) -> Iterator[Turn]:
    text = _REMINDER.sub("", _text(message.get("content"))).strip()
    if text:
        yield Turn("user" if message.get("role") == "user" else "assistant", text)


def _tool_result(messages: Any) -> str | None:
    content = messages[-1].get("content") if messages else None
    results = [part for part in content if part.get("type") == "tool_result"] if isinstance(content, list) else []
    return _text(results[-1].get("content")) if results else None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or () if part.get("type") == "text")


# What is answered.


def _event(name: str, **data: Any) -> StreamEvent:
    return StreamEvent({"type": name, **data}, name, name == "content_block_delta")


def _break(reply: Spoken) -> Iterator[StreamEvent]:
    if isinstance(reply, BreakOff) and reply.error:
        yield StreamEvent(_error("overloaded_error", reply.error), "error")


def _blocks(reply: Spoken, number: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]]:
    """Each block as it starts, what is streamed of it, and what is different about it in the end."""
    if reply.thinking:
        parts = [{"type": "thinking_delta", "thinking": word} for word in words(reply.thinking)]
        signature = {"type": "signature_delta", "signature": "scripted"}
        whole = {"thinking": reply.thinking, "signature": "scripted"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*parts, signature], whole
    if reply.text:
        parts = [{"type": "text_delta", "text": word} for word in words(reply.text)]
        yield {"type": "text", "text": ""}, parts, {"text": reply.text}
    if isinstance(reply, UseTool):
        call = {"type": "tool_use", "id": f"toolu_{number:024}", "name": reply.name, "input": {}}
        parts = [{"type": "input_json_delta", "partial_json": json.dumps(reply.input)}]
        yield call, parts, {"input": reply.input}


def _stop_reason(reply: Spoken) -> str:
    return reply.stop_reason if isinstance(reply, Say) else "tool_use"


def _usage(reply: Spoken, request: ModelRequest) -> dict[str, int]:
    estimated = Tokens(estimated_tokens(json.dumps(request.body.get("messages"))), estimated_tokens(reply.text))
    tokens = reply.tokens or estimated
    return {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation_input_tokens": tokens.cache_write,
    }


def _message(
    request: ModelRequest,
    number: int,
    blocks: list[dict[str, Any]],
    usage: Mapping[str, int],
    stop_reason: str | None = None,
) -> Mapping[str, Any]:
    return {
        "id": f"msg_{number:024}",
        "type": "message",
        "role": "assistant",
        "model": request.body.get("model", ""),
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _error(kind: str, message: str) -> Mapping[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _limits(fail: Fail) -> Mapping[str, str]:
    """When a limit is reset, as a subscription is told and as a key is told."""
    if fail.resets_at is None:
        return {}
    return {
        "anthropic-ratelimit-unified-status": "rejected",
        "anthropic-ratelimit-unified-reset": str(fail.resets_at),
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": datetime.fromtimestamp(fail.resets_at, UTC).isoformat(),
    }
