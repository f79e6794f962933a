"""What a worker's owner says of a Codex agent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from taskrun.adapters.agents.answer import Answer
from taskrun.adapters.agents.definition import REACHABLE, Duration, Rule
from taskrun.adapters.agents.sessions.definition import SessionDefinition

Sandbox = Annotated[
    Literal["read-only", "workspace-write", "danger-full-access"],
    msgspec.Meta(description='"read-only", "workspace-write" or "danger-full-access"'),
]


class CodexDefinition(SessionDefinition, frozen=True, kw_only=True):
    """Adds what the session is told, what its commands may do, and where the model is."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        REACHABLE,
        (lambda agent: not agent.silence > 0, "`silence` must be more than 0."),
    )

    kind: str = "codex"
    #: "" = the input is the prompt.
    prompt: str = ""
    #: Comes on top of Codex's own.
    system_prompt: str = ""
    #: "" = the CLI's default.
    model: str = ""
    sandbox: Sandbox = "read-only"
    #: How long an answer may pause before the CLI asks anew, and a third of what is waited for anything at all. The
    #: CLI's own default, for models that think long.
    silence: Duration = 300.0
    answer: Answer = msgspec.field(default_factory=dict)
    #: Names of the worker's variables.
    base_url_variable: str = "OPENAI_BASE_URL"
    api_key_variable: str = "OPENAI_API_KEY"
