"""An agent of kind `jsonl` with Pydantic AI: a model and a tool, and a memory for follow-ups."""

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from pydantic_ai import (
    Agent,
    AgentRunResultEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessagesTypeAdapter,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
MEMORY = Path.home() / "messages.json"


def tell(type: str, **fields: object) -> None:
    print(json.dumps({"type": type, **fields}), flush=True)


agent = Agent(f"openai-chat:{MODEL}")


@agent.tool_plain
def count_words(text: str) -> int:
    """Counts the words of a text."""
    return len(text.split())


async def answer(request: dict[str, Any]) -> None:
    goes_on = request["session_id"] and not request["fork"]
    tell("session", id=request["session_id"] if goes_on else str(uuid.uuid4()), provider="openai", model=MODEL)
    history = ModelMessagesTypeAdapter.validate_json(MEMORY.read_bytes()) if request["session_id"] else []
    async with agent.run_stream_events(str(request["input"]), message_history=history) as events:
        async for event in events:
            match event:
                case (
                    PartStartEvent(part=TextPart(content=text))
                    | PartDeltaEvent(delta=TextPartDelta(content_delta=text))
                ):
                    tell("text", text=text)
                case FunctionToolCallEvent(part=part):
                    tell("tool_requested", tool=part.tool_name, id=part.tool_call_id, input=part.args_as_json_str())
                case FunctionToolResultEvent(part=part):
                    size = len(str(part.content))
                    tell("tool_completed", tool=part.tool_name, id=part.tool_call_id, result_size=size)
                case AgentRunResultEvent(result=result):
                    used = result.usage
                    tell("usage", model=MODEL, input_tokens=used.input_tokens, output_tokens=used.output_tokens)
                    MEMORY.write_bytes(result.all_messages_json())
    tell("result")


try:
    asyncio.run(answer(json.loads(sys.stdin.readline())))
except ModelHTTPError as error:
    tell("result", failure="limit_reached" if error.status_code == 429 else "agent_unavailable", error=str(error))
except ModelAPIError as error:
    tell("result", failure="agent_unavailable", error=str(error))
