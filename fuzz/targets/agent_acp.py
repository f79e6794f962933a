"""What an agent of the Agent Client Protocol says, and answers."""

from __future__ import annotations

import json
from typing import Any

from fuzz.agents import agent_that_says
from fuzz.target import Target


def _answer(id: int, /, **result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": result}


def _update(kind: str, /, **update: Any) -> dict[str, Any]:
    params = {"sessionId": "s-1", "update": {"sessionUpdate": kind, **update}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


_CALL = {"toolCallId": "c-1", "title": "ls", "kind": "execute", "status": "pending", "rawInput": {"command": "ls"}}
_OPTIONS = [{"optionId": "yes", "kind": "allow_once"}, {"optionId": "no", "kind": "reject_once"}]
_OPENING = (
    _answer(0, protocolVersion=1, agentInfo={"name": "a", "version": "1"}, agentCapabilities={"loadSession": True}),
    _answer(1, sessionId="s-1", models={"currentModelId": "m", "availableModels": []}),
)
_TURN = (
    _update("agent_thought_chunk", content={"type": "text", "text": "hm"}),
    _update("plan", entries=[{"content": "look", "status": "completed"}]),
    _update("tool_call", **_CALL),
    {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "session/request_permission",
        "params": {"sessionId": "s-1", "toolCall": _CALL, "options": _OPTIONS},
    },
    _update("tool_call_update", toolCallId="c-1", status="completed", rawOutput={"out": "a"}, content=[]),
    _update("usage_update", used=10, size=200_000, cost={"amount": 0.5, "currency": "USD"}),
    _update("agent_message_chunk", content={"type": "text", "text": "hello"}, messageId="m-1"),
)
_USAGE = {"inputTokens": 3, "outputTokens": 5, "cachedReadTokens": 1, "cachedWriteTokens": 2}
_END = _answer(2, stopReason="end_turn", usage=_USAGE, _meta={"quota": {"model_usage": [{"model": "m"}]}})


def _lines(*messages: dict[str, Any]) -> bytes:
    # Blank lines are time for questions: whoever answers before it was asked is not heard.
    return b"".join(json.dumps(message).encode() + b"\n" + b"\n" * 400 for message in messages)


TARGET = Target(
    agent_that_says("acp", command=["agent"]),
    {
        "whole": _lines(*_OPENING, *_TURN, _END),
        "refused": _lines(*_OPENING, {"jsonrpc": "2.0", "id": 2, "error": {"code": -32000, "message": "why"}}),
        **{f"turn_{number}": _lines(*_OPENING, message, _END) for number, message in enumerate(_TURN)},
    },
)
