"""What a scripted model is asked, what it can answer, and scripts that choose. No provider's API is in here."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from taskrun.testing.tickets import ticket_in, triage

# What the model can do.


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an answer consumes, as the API counts it."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spoken:
    """What all that begins as an answer has in common."""

    #: Reasoning, streamed before the answer where the API shows it.
    thinking: str = ""
    #: None: estimated from the texts.
    tokens: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Say(_Spoken):
    r"""Answer with this text, word by word, `delay` seconds apart. "\udcff" in it is a byte, 255, that is no UTF-8."""

    text: str
    delay: float = 0.0
    #: In the words of Anthropic's API, whatever API is spoken: `end_turn`, `refusal`, `max_tokens` ...
    stop_reason: str = "end_turn"


@dataclass(frozen=True, slots=True)
class UseTool(_Spoken):
    """Ask for a tool call, after saying `text`."""

    name: str
    input: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class BreakOff(_Spoken):
    """Begin to answer with this text, then cut the connection."""

    text: str
    #: Told inside the stream, before the cut.
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stall(_Spoken):
    """Begin to answer with this text, then say no more and keep the connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with an HTTP error."""

    status: int
    message: str = "The script says so."
    #: Seconds; sent as `retry-after`.
    retry_after: int | None = None
    #: When a limit is reset, in seconds since 1970; sent in the way of the API.
    resets_at: int | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and never answer."""


Spoken = Say | UseTool | BreakOff | Stall
Reply = Spoken | Fail | Hang


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said, without what a CLI adds to it."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request for an answer, in whatever API it came."""

    #: The system prompt.
    system: str = ""
    #: The conversation so far, oldest first; of turns that are nothing but tool calls and their results nothing.
    turns: tuple[Turn, ...] = ()
    #: What a tool answered, if this request brings it.
    tool_result: str | None = None
    #: The request as it was sent.
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """What the user said last."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")


Script = Callable[[ModelRequest], Reply]

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

    The orders: `[[bash: COMMAND]]`, `[[slow: SECONDS between words]]`, `[[think: THOUGHT]]`, `[[error: HTTP STATUS]]`,
    `[[limit: TIME of its reset, in seconds since 1970]]`, `[[break]]` and `[[stall]]` in the middle of an answer,
    `[[hang]]`, `[[flood: SIZE]]`, which says so many characters, and `[[recall]]`, which tells what the user said in
    the turns before.
    """
    if request.tool_result is not None:
        return Say(f"The tool answered: {request.tool_result}")
    if order := _ORDER.search(request.prompt):
        return _ORDERS[order["order"]](request, (order["argument"] or "").strip())
    if "suggested_action" in request.system + request.prompt:
        return Say(json.dumps(triage(ticket_in(request.prompt)), indent=2))
    return Say(f"You said: {request.prompt}")


#: One order for each row; the argument is what follows the colon.
_ORDERS: dict[str, Callable[[ModelRequest, str], Reply]] = {
    "bash": lambda request, command: UseTool("Bash", {"command": command, "description": "As ordered"}),
    "slow": lambda request, seconds: Say(_rest(request), delay=float(seconds or 0.1)),
    "error": lambda request, status: Fail(int(status or 500)),
    "think": lambda request, thought: Say(_rest(request), thinking=thought),
    "limit": lambda request, time: Fail(429, resets_at=int(time or 0)),
    "break": lambda request, _: BreakOff(_rest(request)),
    "stall": lambda request, _: Stall(_rest(request)),
    "flood": lambda request, size: Say(f" {'x' * 2**15}" * (int(size or 0) // 2**15 + 1)),
    "hang": lambda request, _: Hang(),
    "recall": lambda request, _: Say(recalled(request)),
}
_ORDER: re.Pattern[str] = re.compile(rf"\[\[(?P<order>{'|'.join(_ORDERS)})(?::(?P<argument>.*?))?\]\]", re.DOTALL)


def _rest(request: ModelRequest) -> str:
    """The prompt without its orders."""
    return _ORDER.sub("", request.prompt)


def recalled(request: ModelRequest) -> str:
    """What the user said in the turns before this one, a turn a line: only whoever was there can tell."""
    *earlier, _ = [turn.text for turn in request.turns if turn.role == "user"] or [""]
    return "\n".join(["You told me before:", *earlier]) if earlier else "You told me nothing before."
