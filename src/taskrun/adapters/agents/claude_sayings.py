"""What the lines of a Claude Code session mean. What is an event to everybody is an `AgentEvent` at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskrun.domain.records import Usage
from taskrun.ports.agent_events import AgentEvent


@dataclass(frozen=True, slots=True)
class Spoke:
    """The model said more."""

    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The CLI waits for an answer of ours."""

    request_id: str
    what: str

    @property
    def is_about_a_tool(self) -> bool:
        """Whether a tool may be used; there are other questions, of which we know nothing."""
        return self.what == "can_use_tool"


@dataclass(frozen=True, slots=True)
class Concluded:
    """The last word of a session."""

    is_error: bool
    text: str
    subtype: str = ""
    terminal_reason: str = ""
    stop_reason: str = ""
    #: HTTP status of the API's answer that ended it; 0 if there was none.
    api_status: int = 0
    turns: int = 0
    session_id: str = ""
    #: The model that spoke last.
    model: str = ""
    context_window: int = 0
    #: Of this run alone; see `claude_usage`.
    usage: Usage = field(default_factory=Usage)


Saying = Spoke | Asked | Concluded | AgentEvent
