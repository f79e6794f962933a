"""What a program of kind `jsonl` says, a JSON object a line: one struct for each type. See docs/agents-jsonl.md.

Fields that a line has beyond these are of no interest; one that is there must be of its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    AgentEvent,
    Logged,
    Permission,
    PermissionAsked,
    PlanMade,
    Retried,
    SessionInitialized,
    Severity,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)

#: Counts that fit into the wire's and every store's numbers.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Cost = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class Unreadable(Exception):
    """A line that says nothing; the message says why."""


class UnknownType(Exception):
    """A line of a type that there is not; the message is the type."""


class Said(msgspec.Struct, frozen=True):
    """What all lines are."""


class Text(Said, frozen=True):
    """A piece of the answer."""

    text: str


class Session(Said, frozen=True):
    """The conversation that this is; with an id if it can be gone on with."""

    id: str = ""
    provider: str = ""
    model: str = ""
    version: str = ""


class Thinking(Said, frozen=True):
    """A piece of reasoning."""

    text: str


class Step(msgspec.Struct, frozen=True):
    """A part of a plan."""

    text: str
    done: bool = False


class Plan(Said, frozen=True):
    """What is meant to be done, the whole of it."""

    steps: tuple[Step, ...]


class ToolAsked(Said, frozen=True):
    """A tool begins."""

    tool: str
    id: str = ""
    input: str = ""


class ToolAnswered(Said, frozen=True):
    """A tool has ended."""

    tool: str
    id: str = ""
    failed: bool = False
    result_size: Count = 0


class Asked(Said, frozen=True):
    """A tool had to be allowed, and was or was not."""

    tool: str
    allowed: bool
    id: str = ""
    input: str = ""


class Consumed(Said, frozen=True):
    """What the run has consumed so far."""

    model: str = ""
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    cost_usd: Cost | None = None

    def figures(self) -> tuple[int, int, int, int, float | None]:
        """In the order of `Usage` and `UsageReported`."""
        tokens = self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens
        return *tokens, self.cost_usd


class Retry(Said, frozen=True):
    """A call failed and is made again."""

    error: str
    attempt: Count = 0
    delay_ms: Count = 0


class Log(Said, frozen=True):
    """For whoever looks for a fault."""

    text: str
    severity: Severity = Severity.INFO


#: The kinds of failure that a program may call its own.
_KINDS = {
    kind.value: kind
    for kind in (
        FailureKind.AGENT_ERROR,
        FailureKind.AGENT_UNAVAILABLE,
        FailureKind.REFUSED,
        FailureKind.LIMIT_REACHED,
        FailureKind.BAD_OUTPUT,
    )
}


class Result(Said, frozen=True):
    """How it went: the last line. It failed if there is a `failure` or an `error`."""

    #: The whole answer.
    text: str = ""
    failure: str = ""
    error: str = ""

    def kind(self) -> FailureKind | None:
        """None is success. A word that is no kind is a failure all the same."""
        return _KINDS.get(self.failure, FailureKind.AGENT_ERROR) if self.failure or self.error else None


TYPES: dict[str, type[Said]] = {
    "text": Text,
    "session": Session,
    "thought": Thinking,
    "plan": Plan,
    "tool_requested": ToolAsked,
    "tool_completed": ToolAnswered,
    "permission": Asked,
    "usage": Consumed,
    "retry": Retry,
    "log": Log,
    "result": Result,
}

_DECISIONS = {True: Permission.ALLOWED, False: Permission.DENIED}

#: What is told of a line; of one that is not here, its text is what matters.
_EVENTS: dict[type[Said], Callable[[Any], AgentEvent]] = {
    Session: lambda said: SessionInitialized(said.id, said.model, said.version),
    Thinking: lambda said: Thought(said.text),
    Plan: lambda said: PlanMade("\n".join(f"[{'x' if step.done else ' '}] {step.text}" for step in said.steps)),
    ToolAsked: lambda said: ToolRequested(said.tool, said.id, said.input),
    ToolAnswered: lambda said: ToolCompleted(said.tool, said.id, "error" if said.failed else "ok", said.result_size),
    Asked: lambda said: PermissionAsked(said.tool, _DECISIONS[said.allowed], said.id, said.input),
    Consumed: lambda said: UsageReported(said.model, *said.figures()),
    Retry: lambda said: Retried(said.error, said.attempt, said.delay_ms),
    Log: lambda said: Logged(said.text, said.severity),
}


class _Head(msgspec.Struct, frozen=True):
    type: str


_HEAD = msgspec.json.Decoder(_Head)
_DECODERS = {name: msgspec.json.Decoder(what) for name, what in TYPES.items()}


def event_of(said: Said) -> AgentEvent | None:
    """What the line is as an event; None for what is not one."""
    tell = _EVENTS.get(type(said))
    return tell(said) if tell else None


def read(line: str) -> Said:
    """What the line says. Raises `Unreadable` and `UnknownType`."""
    try:
        # A lone surrogate cannot be encoded; it is no text either.
        data = line.encode(errors="replace")
        kind = _HEAD.decode(data).type
        decoder = _DECODERS.get(kind)
        if decoder is None:
            raise UnknownType(kind)
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
