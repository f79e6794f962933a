"""OpenAI's responses, as the Codex CLI asks for them: `POST /v1/responses`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
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
_RESULTS = ("function_call_output", "custom_tool_call_output")

#: Codex tells the model in the user's place where it is.
_CONTEXT = re.compile(r"<(environment_context|user_instructions)>.*?</\1>", re.DOTALL)

#: Scripts ask for a shell as Claude Code has it. Codex has one by another name, with other arguments.
_CODEX_SHELL = "exec_command"

#: Why an answer is not complete, in the API's words.
_INCOMPLETE = {"max_tokens": "max_output_tokens", "content_filter": "content_filter"}


class OpenAIResponses:
    """Implements `ModelApi`."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> ModelRequest:
        items = _items(body.get("input"))
        told = [_text(item.get("content")) for item in items if item.get("role") in _SYSTEM]
        turns = tuple(turn for item in items for turn in _turn(item))
        is_result = bool(items) and items[-1].get("type") in _RESULTS
        result = _text(items[-1].get("output")) if is_result else None
        return ModelRequest("\n".join([body.get("instructions") or "", *told]).strip(), turns, result, body, headers)

    def whole(self, reply: Spoken, request: ModelRequest, number: int) -> Mapping[str, Any]:
        output = [item for item, _ in _output(reply, request, number)]
        return _response(reply, request, number, _status(reply), output)

    def events(self, reply: Spoken, request: ModelRequest, number: int) -> Iterator[StreamEvent]:
        numbers = count()

        def event(name: str, **fields: Any) -> StreamEvent:
            data = {"type": name, "sequence_number": next(numbers), **fields}
            return StreamEvent(data, name, is_word=name == "response.output_text.delta")

        begun = _response(reply, request, number, "in_progress", [])
        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        output = _output(reply, request, number)
        for index, (item, pieces) in enumerate(output):
            yield event("response.output_item.added", output_index=index, item={**item, **_EMPTY[item["type"]]})
            for name, fields in pieces:
                yield event(name, output_index=index, item_id=item["id"], **fields)
            if isinstance(reply, BreakOff | Stall) and item["type"] == "message":
                break
            yield event("response.output_item.done", output_index=index, item=item)
        if isinstance(reply, BreakOff | Stall):
            yield from (event("error", code="server_error", message=error, param=None) for error in _errors(reply))
            return
        status = _status(reply)
        yield event(
            f"response.{status}", response=_response(reply, request, number, status, [item for item, _ in output])
        )

    def error(self, fail: Fail) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        return error_body(fail.status, fail.message), limit_headers(fail)


# What is asked.


def _items(asked: Any) -> Sequence[Mapping[str, Any]]:
    return [{"role": "user", "content": asked}] if isinstance(asked, str) else asked or ()


def _turn(item: Mapping[str, Any]) -> Iterator[Turn]:
    role, text = item.get("role"), _CONTEXT.sub("", _text(item.get("content"))).strip()
    if text and role in ("user", "assistant"):
        yield Turn(role, text)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if "text" in part)


# What is answered.

#: What an item lacks when it begins.
_EMPTY: Mapping[str, Mapping[str, Any]] = {
    "reasoning": {"summary": []},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": "", "status": "in_progress"},
}

#: What is streamed of an item: the name of an event, and its fields.
_Piece = tuple[str, Mapping[str, Any]]


def _output(reply: Spoken, request: ModelRequest, number: int) -> list[tuple[dict[str, Any], list[_Piece]]]:
    """Each item whole, and its pieces."""
    output = []
    if reply.thinking:
        summary = [{"type": "summary_text", "text": reply.thinking}]
        pieces = _deltas("response.reasoning_summary_text.delta", reply.thinking, summary_index=0)
        output.append(({"type": "reasoning", "id": f"rs_{number:024}", "summary": summary}, pieces))
    if reply.text:
        output.append(_message(reply, number))
    if isinstance(reply, UseTool):
        output.append((_call(reply, request, number), []))
    return output


def _message(reply: Spoken, number: int) -> tuple[dict[str, Any], list[_Piece]]:
    is_refusal = isinstance(reply, Say) and reply.stop_reason == "refusal"
    kind, name = ("refusal", "refusal") if is_refusal else ("output_text", "text")
    part = {"type": kind, name: reply.text}
    pieces: list[_Piece] = [
        ("response.content_part.added", {"content_index": 0, "part": {"type": kind, name: ""}}),
        *_deltas(f"response.{kind}.delta", reply.text, content_index=0),
    ]
    if not isinstance(reply, BreakOff | Stall):
        pieces.append((f"response.{kind}.done", {"content_index": 0, name: reply.text}))
        pieces.append(("response.content_part.done", {"content_index": 0, "part": part}))
    item = {"type": "message", "id": f"msg_{number:024}", "role": "assistant", "status": "completed"}
    return {**item, "content": [part]}, pieces


def _call(reply: UseTool, request: ModelRequest, number: int) -> dict[str, Any]:
    """A tool that takes free text is called with the input's only value, any other with the input as JSON."""
    offered = {tool.get("name"): tool.get("type") for tool in request.body.get("tools") or ()}
    name, input = reply.name, reply.input
    if name == "Bash" and _CODEX_SHELL in offered:
        name, input = _CODEX_SHELL, {"cmd": input["command"]}
    call = {"call_id": f"call_{number:024}", "name": name, "status": "completed"}
    if offered.get(name) == "custom":
        [text] = input.values()
        return {"type": "custom_tool_call", "id": f"ctc_{number:024}", **call, "input": text}
    return {"type": "function_call", "id": f"fc_{number:024}", **call, "arguments": json.dumps(input)}


def _deltas(name: str, text: str, **where: int) -> list[_Piece]:
    return [(name, {**where, "delta": word}) for word in words(text)]


def _errors(reply: Spoken) -> list[str]:
    return [reply.error] if isinstance(reply, BreakOff) and reply.error else []


def _status(reply: Spoken) -> str:
    return "incomplete" if isinstance(reply, Say) and reply.stop_reason in _INCOMPLETE else "completed"


def _response(
    reply: Spoken, request: ModelRequest, number: int, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    reason = _INCOMPLETE.get(reply.stop_reason) if isinstance(reply, Say) and status == "incomplete" else None
    return {
        "id": f"resp_{number:024}",
        "object": "response",
        "created_at": 0,
        "status": status,
        "error": None,
        "incomplete_details": reason and {"reason": reason},
        "model": request.body.get("model", ""),
        "output": output,
        "usage": None if status == "in_progress" else _usage(reply, request),
    }


def _usage(reply: Spoken, request: ModelRequest) -> Mapping[str, Any]:
    estimated = Tokens(estimated_tokens(json.dumps(request.body.get("input"))), estimated_tokens(reply.text))
    tokens = reply.tokens or estimated
    # What a cache gave or took is a part of the input here, and what was thought a part of the output.
    asked = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": len(words(reply.thinking))},
        "total_tokens": asked + tokens.output,
    }
