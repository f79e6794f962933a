"""What a scripted model is asked, what it can answer, and scripts that choose."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

# What the model can do.


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with this text, word by word, `delay` seconds apart."""

    text: str
    delay: float = 0.0
    #: `end_turn`, `refusal`, `max_tokens` ...
    stop_reason: str = "end_turn"


@dataclass(frozen=True, slots=True)
class UseTool:
    """Ask for a tool call, after saying `text`."""

    name: str
    input: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with an HTTP error."""

    status: int
    message: str = "The script says so."
    #: Seconds; sent as `retry-after`.
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class BreakOff:
    """Begin to answer with this text, then cut the connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and never answer."""


Reply = Say | UseTool | Fail | BreakOff | Hang


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request for a message."""

    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """The system prompt."""
        return _text_of(self.body.get("system", ""))

    @property
    def prompt(self) -> str:
        """What the user said last, without what the CLI adds to it."""
        for message in reversed(self.body.get("messages", ())):
            if message.get("role") == "user":
                text = _REMINDER.sub("", _text_of(message.get("content"))).strip()
                if text:
                    return text
        return ""

    @property
    def tool_result(self) -> str | None:
        """What a tool answered, if this request brings it."""
        messages = self.body.get("messages") or [{}]
        content = messages[-1].get("content")
        results = [part for part in content if part.get("type") == "tool_result"] if isinstance(content, list) else []
        return _text_of(results[-1].get("content")) if results else None


Script = Callable[[ModelRequest], Reply]

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or () if part.get("type") == "text")


# Scripts.


def in_turn(*replies: Reply) -> Script:
    """One reply after the other, whatever is asked; the last one for ever."""
    left = deque(replies)
    lock = threading.Lock()

    def script(request: ModelRequest) -> Reply:
        with lock:
            return left.popleft() if len(left) > 1 else left[0]

    return script


def spoken_slowly(script: Script, delay: float) -> Script:
    """What the script says, with at least `delay` seconds between two words."""

    def slowed(request: ModelRequest) -> Reply:
        reply = script(request)
        return replace(reply, delay=max(reply.delay, delay)) if isinstance(reply, Say) else reply

    return slowed


def default_script(request: ModelRequest) -> Reply:
    """A tool's result is told; `[[order: argument]]` in the prompt is obeyed; tickets are triaged; the rest is echoed.

    The orders: `[[bash: COMMAND]]`, `[[slow: SECONDS between words]]`, `[[error: HTTP STATUS]]`, `[[hang]]`.
    """
    if request.tool_result is not None:
        return Say(f"The tool answered: {request.tool_result}")
    if order := _ORDER.search(request.prompt):
        return _ORDERS[order["order"]](request, (order["argument"] or "").strip())
    if "suggested_action" in request.system + request.prompt:
        return Say(json.dumps(triage(_ticket(request.prompt)), indent=2))
    return Say(f"You said: {request.prompt}")


#: One order for each row; the argument is what follows the colon.
_ORDERS: dict[str, Callable[[ModelRequest, str], Reply]] = {
    "bash": lambda request, command: UseTool("Bash", {"command": command, "description": "As ordered"}),
    "slow": lambda request, seconds: Say(_ORDER.sub("", request.prompt), delay=float(seconds or 0.1)),
    "error": lambda request, status: Fail(int(status or 500)),
    "hang": lambda request, _: Hang(),
}
_ORDER: re.Pattern[str] = re.compile(rf"\[\[(?P<order>{'|'.join(_ORDERS)})(?::(?P<argument>.*?))?\]\]", re.DOTALL)

_PRIORITIES = (
    ("urgent", r"outage|down\b|data loss|breach|security|production|cannot (log|sign) in|urgent"),
    ("high", r"error|crash|fail|broken|charged twice|blocked"),
    ("low", r"question|how (do|can)|feature|would be nice|typo"),
)
_CATEGORIES = (
    ("billing", r"invoice|charge|refund|payment|billing|price"),
    ("access", r"log ?in|sign ?in|password|account|permission|2fa"),
    ("bug", r"error|crash|bug|fail|broken|down\b|outage"),
    ("feature_request", r"feature|would be nice|please add|support for"),
)
_ACTIONS = {
    "billing": "Compare the customer's invoice with the payment records and answer with the result.",
    "access": "Check the account's state and send a recovery link to the address on file.",
    "bug": "Reproduce the problem and hand it to the engineer on duty with the steps.",
    "feature_request": "Thank the customer and add the wish to the product board.",
    "other": "Ask the customer for details.",
}


def triage(ticket: str) -> dict[str, str]:
    """What a sensible person would say about a ticket, by its keywords."""
    category = _first(_CATEGORIES, ticket, "other")
    return {
        "priority": _first(_PRIORITIES, ticket, "medium"),
        "category": category,
        "summary": " ".join(ticket.split())[:160],
        "suggested_action": _ACTIONS[category],
    }


def _ticket(prompt: str) -> str:
    """The ticket's words, also of one that comes as a JSON object."""
    try:
        ticket = json.loads(prompt)
    except ValueError:
        return prompt
    texts = [value for value in ticket.values() if isinstance(value, str)] if isinstance(ticket, dict) else []
    return ". ".join(texts) or prompt


def _first(table: tuple[tuple[str, str], ...], text: str, otherwise: str) -> str:
    return next((word for word, pattern in table if re.search(pattern, text, re.IGNORECASE)), otherwise)
