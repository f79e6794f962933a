"""Whether an agent may use a tool that it asks about: what nobody allowed is denied. Who does not ask is found out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.peer import Json
from taskrun.adapters.agents.acp.tools import ToolCall
from taskrun.ports.agent_events import Permission

#: The protocol's words for what can be chosen, the one to be preferred first: what is asked again is decided again.
_CHOICES = {
    Permission.ALLOWED: ("allow_once", "allow_always"),
    Permission.DENIED: ("reject_once", "reject_always"),
}

#: Also ends the agent's turn, where it takes its word for it.
CANCELLED: Json = {"outcome": {"outcome": "cancelled"}}


class Leave:
    """What the tools of one turn are allowed, and which of them were used without it."""

    def __init__(self, allowed: Sequence[str], denied: Sequence[str]) -> None:
        self._allowed, self._denied = allowed, denied
        #: Calls that the agent asked about, and tools that were told of.
        self._asked: set[str] = set()
        self._told: set[str] = set()

    def decide(self, call: ToolCall) -> Permission:
        """The agent asks."""
        self._asked.add(call.id)
        return self._by_rule(call)

    def overstepped(self, call: ToolCall) -> bool:
        """Whether a call was made that nobody allowed, because the agent never asked. True once for each tool."""
        if not call.succeeded or call.id in self._asked or call.name in self._told:
            return False
        if self._by_rule(call) is Permission.ALLOWED:
            return False
        self._told.add(call.name)
        return True

    def _by_rule(self, call: ToolCall) -> Permission:
        return decide(call.names, self._allowed, self._denied)


def decide(names: Iterable[str], allowed: Sequence[str], denied: Sequence[str]) -> Permission:
    """What becomes of a call that goes by these names. A rule is a name, in which `*` stands for any characters."""
    names = tuple(names)
    if _matches(names, allowed) and not _matches(names, denied):
        return Permission.ALLOWED
    return Permission.DENIED


def choose(decision: Permission, options: Any) -> tuple[Permission, Json]:
    """The answer that says so, and what it comes to: an agent that cannot be told yes is told no."""
    offered = loose.mappings(options)
    for kind in _CHOICES[decision]:
        for option in offered:
            if option.get("kind") == kind:
                return decision, {"outcome": {"outcome": "selected", "optionId": option.get("optionId")}}
    if decision is Permission.ALLOWED:
        return choose(Permission.DENIED, options)
    return decision, CANCELLED


def _matches(names: Sequence[str], rules: Sequence[str]) -> bool:
    return any(fnmatchcase(name, rule) for name in names for rule in rules)
