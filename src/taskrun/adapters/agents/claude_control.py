"""What is written to a Claude Code CLI that reads `--input-format stream-json`: a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from taskrun.adapters.agents.claude_sayings import Asked

#: A prompt that begins with "/" would be a command to the CLI; nothing in a later line is.
_NO_COMMAND = "\n"

_DENIAL = "No rule of this agent allows it."


def prompt(text: str) -> bytes:
    """The user's turn."""
    content = [{"type": "text", "text": _NO_COMMAND + text}]
    return _line({"type": "user", "message": {"role": "user", "content": content}})


def interrupt() -> bytes:
    """Break off; the CLI then concludes with what it has."""
    return _line({"type": "control_request", "request_id": "interrupt", "request": {"subtype": "interrupt"}})


def answer(asked: Asked) -> bytes:
    """No: of tools the CLI asks where no rule decides, and what nobody allowed is denied."""
    if asked.is_about_a_tool:
        response = {"subtype": "success", "response": {"behavior": "deny", "message": _DENIAL}}
    else:
        response = {"subtype": "error", "error": f"{asked.what} is not understood here."}
    return _line({"type": "control_response", "response": {**response, "request_id": asked.request_id}})


def _line(message: Mapping[str, Any]) -> bytes:
    # Plain ASCII: also half a surrogate pair, which JSON may hold, arrives.
    return json.dumps(message).encode() + b"\n"
