"""An agent of kind `jsonl` with LangGraph: a model and a tool in a graph, and a memory for follow-ups."""

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import openai
from langchain_core.messages import messages_from_dict, messages_to_dict
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
MEMORY = Path.home() / "messages.json"


def tell(type: str, **fields: object) -> None:
    print(json.dumps({"type": type, **fields}), flush=True)


@tool
def count_words(text: str) -> int:
    """Counts the words of a text."""
    return len(text.split())


def graph() -> Any:
    model = ChatOpenAI(model=MODEL, stream_usage=True, max_retries=2).bind_tools([count_words])

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", think)
    builder.add_node("tools", ToolNode([count_words]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile()


async def answer(request: dict[str, Any]) -> None:
    goes_on = request["session_id"] and not request["fork"]
    tell("session", id=request["session_id"] if goes_on else str(uuid.uuid4()), provider="openai", model=MODEL)
    messages = messages_from_dict(json.loads(MEMORY.read_text())) if request["session_id"] else []
    used = {"input_tokens": 0, "output_tokens": 0}
    async for event in graph().astream_events({"messages": [*messages, ("user", str(request["input"]))]}):
        data, name, id = event["data"], event["name"], event["run_id"]
        match event["event"]:
            case "on_chat_model_stream" if text := data["chunk"].text:
                tell("text", text=text)
            case "on_chat_model_end":
                for kind in used:
                    used[kind] += (data["output"].usage_metadata or {}).get(kind, 0)
                tell("usage", model=MODEL, **used)
            case "on_tool_start":
                tell("tool_requested", tool=name, id=id, input=json.dumps(data["input"]))
            case "on_tool_end":
                tell("tool_completed", tool=name, id=id, result_size=len(data["output"].text))
            case "on_tool_error":
                tell("tool_completed", tool=name, id=id, failed=True)
            case "on_chain_end" if not event["parent_ids"]:
                MEMORY.write_text(json.dumps(messages_to_dict(data["output"]["messages"])))
    tell("result")


try:
    asyncio.run(answer(json.loads(sys.stdin.readline())))
except openai.RateLimitError as error:
    tell("result", failure="limit_reached", error=str(error))
except openai.APIError as error:
    tell("result", failure="agent_unavailable", error=str(error))
