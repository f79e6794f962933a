"""What `codex exec --json` says."""

from __future__ import annotations

import json
from typing import Any

from fuzz.agents import agent_that_says
from fuzz.target import Target


def _item(step: str, **item: Any) -> dict[str, Any]:
    return {"type": f"item.{step}", "item": {"id": "item_1", **item}}


_COMMAND = {"type": "command_execution", "command": "ls", "aggregated_output": "a b", "status": "completed"}
_LINES = (
    {"type": "thread.started", "thread_id": "t-1"},
    {"type": "turn.started"},
    _item("completed", type="reasoning", text="hm"),
    _item("started", **_COMMAND),
    _item("completed", **_COMMAND),
    _item("completed", type="file_change", changes=[{"kind": "add", "path": "a"}], status="failed"),
    _item("completed", type="mcp_tool_call", server="s", tool="t", arguments={"a": 1}, result={"content": []}),
    _item("completed", type="web_search", query="q"),
    _item("updated", type="todo_list", items=[{"text": "look", "completed": True}]),
    _item("completed", type="error", message="odd"),
    {"type": "error", "message": "Reconnecting... 2/5 (why)"},
    _item("completed", type="agent_message", text="hello"),
    {"type": "turn.failed", "error": {"message": "why"}},
    {"type": "turn.completed", "usage": {"input_tokens": 3, "cached_input_tokens": 1, "output_tokens": 5}},
)

_WHOLE = b"".join(json.dumps(line).encode() + b"\n" for line in _LINES)

TARGET = Target(
    agent_that_says("codex"),
    {"whole": _WHOLE, **{f"{number}_{line['type']}": json.dumps(line).encode() for number, line in enumerate(_LINES)}},
)
