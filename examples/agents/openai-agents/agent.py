"""An agent of kind `jsonl` with the OpenAI Agents SDK: a model and a tool, and a memory for follow-ups."""

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import openai
from agents import (
    Agent,
    ModelSettings,
    Runner,
    SQLiteSession,
    function_tool,
    set_default_openai_api,
    set_tracing_disabled,
)

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
MEMORY = Path.home() / "messages.db"


def tell(type: str, **fields: object) -> None:
    print(json.dumps({"type": type, **fields}), flush=True)


@function_tool
def count_words(text: str) -> int:
    """Counts the words of a text."""
    return len(text.split())


AGENT = Agent("counter", model=MODEL, tools=[count_words], model_settings=ModelSettings(include_usage=True))


async def answer(request: dict[str, Any]) -> None:
    goes_on = request["session_id"] and not request["fork"]
    tell("session", id=request["session_id"] if goes_on else str(uuid.uuid4()), provider="openai", model=MODEL)
    # The home directory is the session's own, so that one name is enough.
    memory = SQLiteSession("mine", MEMORY)
    run = Runner.run_streamed(AGENT, str(request["input"]), session=memory)
    names: dict[str, str] = {}
    async for event in run.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            tell("text", text=event.data.delta)
        elif event.type == "run_item_stream_event" and event.name == "tool_called":
            call: Any = event.item.raw_item
            names[call.call_id] = call.name
            tell("tool_requested", tool=call.name, id=call.call_id, input=call.arguments)
        elif event.type == "run_item_stream_event" and event.name == "tool_output":
            result: Any = event.item.raw_item
            id = result["call_id"]
            tell("tool_completed", tool=names[id], id=id, result_size=len(str(result["output"])))
    used = run.context_wrapper.usage
    tell("usage", model=MODEL, input_tokens=used.input_tokens, output_tokens=used.output_tokens)
    tell("result")


set_default_openai_api("chat_completions")  # what most endpoints speak
set_tracing_disabled(True)
try:
    asyncio.run(answer(json.loads(sys.stdin.readline())))
except openai.RateLimitError as error:
    tell("result", failure="limit_reached", error=str(error))
except openai.APIError as error:
    tell("result", failure="agent_unavailable", error=str(error))
