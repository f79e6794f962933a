"""What Claude Code says, with `--output-format stream-json`."""

from __future__ import annotations

import json
from typing import Any

from fuzz.agents import agent_that_says
from fuzz.target import Target


def _event(**event: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": event}


_USAGE = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 9}
_TOOL = {
    "type": "tool_use",
    "id": "t-1",
    "name": "TodoWrite",
    "input": {"todos": [{"content": "a", "status": "pending"}]},
}
_ANSWERED = {
    "type": "tool_result",
    "tool_use_id": "t-1",
    "content": [{"type": "text", "text": "ok"}],
    "is_error": False,
}
_LINES: tuple[dict[str, Any], ...] = (
    {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m", "claude_code_version": "2.0"},
    {
        "type": "system",
        "subtype": "api_retry",
        "error": "overloaded",
        "error_status": 529,
        "attempt": 1,
        "retry_delay_ms": 500,
    },
    _event(type="message_start", message={"id": "m-1", "model": "m", "usage": _USAGE}),
    _event(type="content_block_delta", delta={"type": "thinking_delta", "thinking": "hm"}),
    _event(type="content_block_delta", delta={"type": "text_delta", "text": "hello"}),
    _event(type="content_block_stop"),
    _event(type="message_delta", usage=_USAGE),
    {
        "type": "assistant",
        "message": {"id": "m-1", "model": "m", "content": [{"type": "text", "text": "hello"}, _TOOL]},
    },
    {
        "type": "control_request",
        "request_id": "r-1",
        "request": {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}},
    },
    {"type": "user", "message": {"content": [_ANSWERED]}, "tool_use_result": {"newTodos": []}},
    {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "num_turns": 1,
        "result": "hello",
        "total_cost_usd": 0.5,
        "usage": _USAGE,
        "modelUsage": {"m": {"inputTokens": 3, "outputTokens": 5, "costUSD": 0.5}},
        "permission_denials": [{"tool_name": "Bash", "tool_use_id": "t-2", "tool_input": {"command": "ls"}}],
        "errors": ["why"],
    },
)

_WHOLE = b"".join(json.dumps(line).encode() + b"\n" for line in _LINES)

TARGET = Target(
    agent_that_says("claude-code"),
    {"whole": _WHOLE, **{f"{number}_{line['type']}": json.dumps(line).encode() for number, line in enumerate(_LINES)}},
)
