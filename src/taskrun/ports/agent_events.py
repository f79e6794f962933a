"""What an agent does beside its output, in the past tense: one vocabulary for every kind of agent.

Each event has its type on the wire, where its fields are metadata under their own names. Text is as long as its agent
made it; the sink cuts what is too long. What an agent does not know is "", 0 or None, and is not told.
"""

from __future__ import annotations

from dataclasses import fields
from typing import ClassVar

from taskrun.domain.records import Consumption, Labels, Usage
from taskrun.domain.status import FailureKind, RunEventType, Word
from taskrun.domain.usage import usage_of
from taskrun.domain.values import value


class Permission(Word):
    """What became of a tool call that had to be asked for."""

    ALLOWED = "allowed"
    DENIED = "denied"


class Severity(Word):
    """How much a log line matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class AgentEvent:
    """What all events have in common."""

    __slots__ = ()
    TYPE: ClassVar[RunEventType]

    def metadata(self) -> Labels:
        """The event as it travels and is kept."""
        told = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        return {name: what.value if isinstance(what, Word) else str(what) for name, what in told if _is_known(what)}


def _is_known(what: object) -> bool:
    # A sum of money may well be 0.
    return bool(what) or isinstance(what, float)


@value(frozen=True, slots=True)
class ExecutionStarted(AgentEvent):
    """The agent is about to begin."""

    TYPE = RunEventType.EXECUTION_STARTED
    kind: str = ""
    #: By what its processes are held together.
    containment: str = ""


@value(frozen=True, slots=True)
class SessionInitialized(AgentEvent):
    """The agent has a conversation, which can be gone on with if it has an id."""

    TYPE = RunEventType.SESSION_INITIALIZED
    session_id: str = ""
    model: str = ""
    #: The agent's own.
    version: str = ""


@value(frozen=True, slots=True)
class Thought(AgentEvent):
    """A piece of the model's reasoning, as far as it is shown."""

    TYPE = RunEventType.THOUGHT
    text: str


@value(frozen=True, slots=True)
class PlanMade(AgentEvent):
    """What the agent means to do: the whole plan anew, a step a line, `[x] ` before what is done and `[ ] ` before the
    rest."""

    TYPE = RunEventType.PLAN
    plan: str


@value(frozen=True, slots=True)
class ToolRequested(AgentEvent):
    """The model wants a tool to be used; `input` is a summary for people."""

    TYPE = RunEventType.TOOL_REQUESTED
    tool: str
    tool_use_id: str = ""
    input: str = ""


@value(frozen=True, slots=True)
class PermissionAsked(AgentEvent):
    """A tool call had to be allowed, and was or was not."""

    TYPE = RunEventType.PERMISSION_ASKED
    tool: str
    decision: Permission
    tool_use_id: str = ""
    input: str = ""


@value(frozen=True, slots=True)
class ToolCompleted(AgentEvent):
    """A tool answered the model."""

    TYPE = RunEventType.TOOL_COMPLETED
    tool: str
    tool_use_id: str = ""
    #: `ok` or `error`.
    outcome: str = "ok"
    #: Characters of the answer.
    result_size: int = 0


@value(frozen=True, slots=True)
class UsageReported(AgentEvent):
    """What the run has consumed so far. Its result says what counts; of a run that is stopped without one, the last of
    these does."""

    TYPE = RunEventType.USAGE
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    #: 0 is known: it is free.
    cost_usd: float | None = None

    def usage(self) -> Usage:
        """The same as of a whole run."""
        return usage_of({self.model: self._consumed()})

    def after(self, before: Consumption | None) -> UsageReported:
        """The same of an agent that has had turns before in this run, which consumed this."""
        if before is None:
            return self
        both = before + self._consumed()
        tokens = both.input_tokens, both.output_tokens, both.cache_read_tokens, both.cache_write_tokens
        return UsageReported(self.model, *tokens, both.cost_usd)

    def _consumed(self) -> Consumption:
        return Consumption(
            self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens, self.cost_usd
        )


@value(frozen=True, slots=True)
class Retried(AgentEvent):
    """A call of the model failed and is made again, `delay_ms` later."""

    TYPE = RunEventType.RETRY
    error: str
    attempt: int = 0
    delay_ms: int = 0


@value(frozen=True, slots=True)
class Logged(AgentEvent):
    """A line for whoever looks for a fault, not a part of the answer."""

    TYPE = RunEventType.LOG
    text: str
    severity: Severity = Severity.INFO


@value(frozen=True, slots=True)
class OutputGenerated(AgentEvent):
    """The answer is whole: what was put out before it were pieces of it, and words between tool calls."""

    TYPE = RunEventType.OUTPUT_GENERATED
    text: str = ""
    #: Of the whole answer, of which `text` may be cut.
    characters: int = 0


@value(frozen=True, slots=True)
class ExecutionCompleted(AgentEvent):
    """The agent says that it succeeded."""

    TYPE = RunEventType.EXECUTION_COMPLETED


@value(frozen=True, slots=True)
class ExecutionFailed(AgentEvent):
    """The agent failed, or nobody can say that it did not."""

    TYPE = RunEventType.EXECUTION_FAILED
    failure: FailureKind
