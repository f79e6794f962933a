"""A small agent, written with the protocol's own Python library: the first word of its prompt says what it does.

Its sessions are files in its HOME, with a line for each prompt. Its argument, if there is one, says what it cannot:
`resume`, `load` or `fork`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import acp
from acp import schema

CANNOT = sys.argv[1:]
USAGE = schema.Usage(input_tokens=7, output_tokens=3, cached_read_tokens=2, cached_write_tokens=1, total_tokens=13)
MODEL = schema.SessionConfigOptionSelect(
    type="select", id="llm", category="model", name="Model", current_value="small-1", options=[]
)
CHOICES = [
    schema.PermissionOption(option_id="y", name="Yes", kind="allow_once"),
    schema.PermissionOption(option_id="always", name="Always", kind="allow_always"),
    schema.PermissionOption(option_id="n", name="No", kind="reject_once"),
]


def file_of(session_id: str) -> Path:
    return Path(os.environ["HOME"], session_id)


def read(session_id: str) -> list[str]:
    if not file_of(session_id).exists():
        raise acp.RequestError.resource_not_found(f"session {session_id}")
    return file_of(session_id).read_text().splitlines()


def add(session_id: str, *lines: str) -> None:
    with file_of(session_id).open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


class SmallAgent:
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.set: list[str] = []

    def on_connect(self, client: Any) -> None:
        self.client = client

    # Sessions.

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        sessions = schema.SessionCapabilities(
            fork=None if "fork" in CANNOT else schema.SessionForkCapabilities(),
            resume=None if "resume" in CANNOT else schema.SessionResumeCapabilities(),
        )
        able = schema.AgentCapabilities(load_session="load" not in CANNOT, session_capabilities=sessions)
        about = schema.Implementation(name="small", version="1.2")
        return acp.InitializeResponse(protocol_version=1, agent_capabilities=able, agent_info=about)

    async def authenticate(self, method_id: str, **_: Any) -> None:
        if method_id != "a key":
            raise acp.RequestError.auth_required()

    async def new_session(self, cwd: str, mcp_servers: list[Any], **_: Any) -> schema.NewSessionResponse:
        id = str(uuid.uuid4())
        add(id, *(f"{server.name}: {server.command} {server.args}" for server in mcp_servers))
        modes = schema.SessionModeState(current_mode_id="ask", available_modes=[])
        return acp.NewSessionResponse(session_id=id, config_options=[MODEL], modes=modes)

    async def load_session(self, session_id: str, **_: Any) -> schema.LoadSessionResponse:
        for line in read(session_id):
            await self.client.session_update(session_id, acp.update_agent_message_text(f"replayed {line}"))
        return acp.LoadSessionResponse()

    async def resume_session(self, session_id: str, **_: Any) -> schema.ResumeSessionResponse:
        read(session_id)
        return schema.ResumeSessionResponse()

    async def fork_session(self, session_id: str, **_: Any) -> schema.ForkSessionResponse:
        id = str(uuid.uuid4())
        add(id, *read(session_id))
        return schema.ForkSessionResponse(session_id=id)

    async def set_config_option(self, config_id: str, value: str, **_: Any) -> schema.SetSessionConfigOptionResponse:
        self.set.append(f"{config_id}={value}")
        return schema.SetSessionConfigOptionResponse(config_options=[MODEL])

    async def set_session_mode(self, mode_id: str, **_: Any) -> None:
        self.set.append(f"mode={mode_id}")

    # Turns.

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> schema.PromptResponse:
        self.session, text = session_id, prompt[0].text.strip()
        add(session_id, text)
        word, _, rest = text.partition(" ")
        return await getattr(self, f"do_{word}")(rest)  # type: ignore[no-any-return]

    async def cancel(self, session_id: str, **_: Any) -> None:
        self.cancelled.set()

    async def tell(self, update: Any) -> None:
        await self.client.session_update(self.session, update)

    async def say(self, text: str, **keys: Any) -> None:
        content = acp.text_block(text)
        await self.tell(schema.AgentMessageChunk(session_update="agent_message_chunk", content=content, **keys))

    async def do_say(self, text: str) -> schema.PromptResponse:
        for word in text.split(" "):
            await self.say(word)
        return acp.PromptResponse(stop_reason="end_turn", usage=USAGE)

    async def do_recall(self, _: str) -> schema.PromptResponse:
        return await self.do_say("\n".join(read(self.session)))

    async def do_forget(self, _: str) -> schema.PromptResponse:
        file_of(self.session).unlink()
        return acp.PromptResponse(stop_reason="end_turn")

    async def do_settings(self, _: str) -> schema.PromptResponse:
        return await self.do_say(" ".join(self.set))

    async def do_stop(self, reason: Any) -> schema.PromptResponse:
        await self.say("so far")
        return acp.PromptResponse(stop_reason=reason)

    async def do_fail(self, reason: str) -> schema.PromptResponse:
        raise acp.RequestError(-32603, reason, {"details": "in detail"})

    async def do_work(self, kind: Any) -> schema.PromptResponse:
        """Thinks, plans, and uses a tool if it may."""
        await self.tell(acp.update_agent_thought_text("hm"))
        await self.tell(acp.update_plan([acp.plan_entry("look", status="completed"), acp.plan_entry("tell")]))
        await self.say("first", message_id="1")
        await self.tell(acp.start_tool_call("t1", "List files", kind=kind, status="pending", raw_input={}))
        call = schema.ToolCallUpdate(tool_call_id="t1", raw_input={"command": "ls -l", "timeout": 3})
        answer = await self.client.request_permission(self.session, call, CHOICES)
        allowed = getattr(answer.outcome, "option_id", "") == "y"
        status: Any = "completed" if allowed else "failed"
        await self.tell(acp.update_tool_call("t1", status=status, raw_output="file"))
        await self.say("then", message_id="2")
        cost = schema.Cost(amount=0.25 * len(read(self.session)), currency="USD")
        await self.tell(schema.UsageUpdate(session_update="usage_update", used=10, size=1000, cost=cost))
        return acp.PromptResponse(stop_reason="end_turn", usage=USAGE)

    async def do_slip(self, kind: Any) -> schema.PromptResponse:
        """Uses a tool twice without asking, and another that does not work."""
        for id, status in (("t1", "completed"), ("t2", "completed"), ("t3", "failed")):
            end: Any = status
            await self.tell(acp.start_tool_call(id, "Slip", kind=kind if end == "completed" else "other"))
            await self.tell(acp.update_tool_call(id, status=end))
        return acp.PromptResponse(stop_reason="end_turn")

    async def do_overreach(self, _: str) -> schema.PromptResponse:
        """Wants its client's files and terminals."""
        for wish in (
            self.client.read_text_file("/etc/passwd", self.session),
            self.client.write_text_file("x", "/tmp/x", self.session),
            self.client.create_terminal("id", self.session),
        ):
            try:
                await wish
            except acp.RequestError as refusal:
                await self.say(f"{refusal.code} ")
        return acp.PromptResponse(stop_reason="end_turn")

    async def do_wait(self, how: str) -> schema.PromptResponse:
        """Until it is cancelled, which it obeys or not."""
        await self.say("ready")
        await self.cancelled.wait()
        if how == "stubbornly":
            await asyncio.Event().wait()
        add(self.session, "cancelled")
        return acp.PromptResponse(stop_reason="cancelled")


if __name__ == "__main__":
    agent: Any = SmallAgent()
    asyncio.run(acp.run_agent(agent, use_unstable_protocol=True))
