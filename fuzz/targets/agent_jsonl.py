"""What a program of kind `jsonl` says. See docs/agents-jsonl.md."""

from __future__ import annotations

import json

from fuzz.agents import agent_that_says
from fuzz.target import Target

_LINES = (
    {"type": "session", "id": "s-1", "provider": "p", "model": "m", "version": "1"},
    {"type": "thought", "text": "hm"},
    {"type": "plan", "steps": [{"text": "look", "done": True}, {"text": "say"}]},
    {"type": "tool_requested", "tool": "sh", "id": "1", "input": "ls"},
    {"type": "permission", "tool": "sh", "allowed": False, "id": "1", "input": "ls"},
    {"type": "tool_completed", "tool": "sh", "id": "1", "failed": True, "result_size": 7},
    {"type": "retry", "error": "529", "attempt": 2, "delay_ms": 100},
    {"type": "log", "text": "odd", "severity": "warning"},
    {"type": "text", "text": "h\u00e9llo"},
    {"type": "usage", "model": "m", "input_tokens": 1, "output_tokens": 2, "cost_usd": 0.5},
    {"type": "result", "text": "hello", "failure": "refused", "error": "why"},
)

_WHOLE = b"".join(json.dumps(line).encode() + b"\n" for line in _LINES)

TARGET = Target(
    agent_that_says("jsonl", command=["agent"]),
    {"whole": _WHOLE, **{str(line["type"]): json.dumps(line).encode() for line in _LINES}},
)
