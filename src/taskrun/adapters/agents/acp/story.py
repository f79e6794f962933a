"""What an agent tells of its work (`session/update`), passed on in TaskRun's own words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.meter import Meter
from taskrun.adapters.agents.acp.peer import Json
from taskrun.adapters.agents.acp.tools import ToolCalls
from taskrun.ports.agent_events import Logged, OutputGenerated, PlanMade, Severity, Thought, UsageReported
from taskrun.ports.agents import AgentSink

#: Of an answer in its event; the sink would cut it to this anyhow.
_KEPT_CHARACTERS = 8192


class Story:
    """One turn of a session, a new one or one that goes on."""

    def __init__(self, sink: AgentSink, meter: Meter) -> None:
        self._sink = sink
        self.meter = meter
        self.tools = ToolCalls()
        #: Tokens that the model can hold.
        self.context_window = 0
        #: US dollars; None as long as it is not known.
        self.cost: float | None = None
        self._message = ""
        self._answer = ""
        self._characters = 0
        self._line_ended = True
        #: The next text begins a paragraph.
        self._apart = False
        self._handlers: dict[str, Callable[[Json], Awaitable[None]]] = {
            "agent_message_chunk": self._spoken,
            "agent_thought_chunk": self._thought,
            "tool_call": self._tool,
            "tool_call_update": self._tool,
            "plan": self._plan,
            "usage_update": self._used,
        }

    async def tell(self, update: Json) -> None:
        """Takes in one update. Those that are about the session, not about its work, are of no interest."""
        handler = self._handlers.get(loose.text(update.get("sessionUpdate")))
        if handler:
            await handler(update)

    async def conclude(self) -> None:
        """The turn went well: what was said last is its answer."""
        if self._characters:
            await self._sink.event(OutputGenerated(self._answer, self._characters))

    async def _spoken(self, update: Json) -> None:
        content = loose.mapping(update.get("content"))
        text = loose.text(content.get("text")) or loose.text(loose.mapping(content.get("resource")).get("text"))
        if not text:
            if content.get("type") != "text":
                kind = content.get("type")
                await self._sink.event(Logged(f"The agent answered with {kind}, left out.", Severity.WARNING))
            return
        if self._begins(loose.text(update.get("messageId"))) and self._characters:
            if not self._line_ended:
                await self._sink.text("\n")
            self._answer, self._characters = "", 0
        self._characters += len(text)
        self._answer = (self._answer + text)[:_KEPT_CHARACTERS]
        self._line_ended = text.endswith("\n")
        await self._sink.text(text)

    def _begins(self, message_id: str) -> bool:
        """Whether a message begins: what was said before a tool's use and what is said after it are two."""
        begins = self._apart or (message_id != self._message and bool(message_id and self._message))
        self._apart, self._message = False, message_id or self._message
        return begins

    async def _thought(self, update: Json) -> None:
        text = loose.text(loose.mapping(update.get("content")).get("text"))
        if text:
            await self._sink.event(Thought(text))

    async def _tool(self, update: Json) -> None:
        self._apart = True
        for event in self.tools.of(update).update(update):
            await self._sink.event(event)

    async def _plan(self, update: Json) -> None:
        steps = loose.mappings(update.get("entries"))
        marks = {"completed": "[x]"}
        lines = (
            f"{marks.get(loose.text(step.get('status')), '[ ]')} {loose.text(step.get('content'))}" for step in steps
        )
        await self._sink.event(PlanMade("\n".join(lines)))

    async def _used(self, update: Json) -> None:
        self.context_window = loose.number(update.get("size")) or self.context_window
        cost = loose.mapping(update.get("cost"))
        total = loose.amount(cost.get("amount")) if cost.get("currency") == "USD" else None
        self.cost = self.cost if total is None else self.meter.read(total)
        if total is not None and self.cost is not None:
            await self._sink.event(UsageReported(cost_usd=self.cost))
