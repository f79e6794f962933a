"""Whether an agent may use a tool that it asks about: what nobody allowed is denied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.peer import Json
from taskrun.ports.agent_events import Permission

#: The protocol's words for what can be chosen, the one to be preferred first: what is asked again is decided again.
_CHOICES = {
    Permission.ALLOWED: ("allow_once", "allow_always"),
    Permission.DENIED: ("reject_once", "reject_always"),
}

#: Also ends the agent's turn, where it takes its word for it.
CANCELLED: Json = {"outcome": {"outcome": "cancelled"}}


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
