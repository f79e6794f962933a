"""The keys of every agent that has sessions."""

from __future__ import annotations

from typing import ClassVar

from taskrun.adapters.agents.definition import AgentDefinition, Duration, Rule


class SessionDefinition(AgentDefinition, frozen=True, kw_only=True):
    """An agent whose result can name a session, for a later run to go on with."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: agent.keep_sessions is not None and agent.keep_sessions < 0,
            "`keep_sessions` must be 0, for no session at all, or more.",
        ),
    )

    #: After a session's last run; None = as long as the worker keeps sessions.
    keep_sessions: Duration | None = None
