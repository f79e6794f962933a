"""What `kind = "..."` in worker.toml can be: whatever an installed package offers under `taskrun.agents`.

The kinds that come with TaskRun are found in the same way as everybody else's, so a kind is one module, loaded when it
is asked for, and a line in the `[project.entry-points."taskrun.agents"]` of its package's pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.program import Workshop
from taskrun.domain.errors import InvalidArgument
from taskrun.ports.agents import Agent

GROUP = "taskrun.agents"


@dataclass(frozen=True, slots=True)
class AgentKind:
    """What an entry point names: how agents of this kind are described, and how a description becomes one."""

    definition: type[AgentDefinition]
    #: Gets a `definition`, and where its runs take place.
    make: Callable[[Any, Workshop], Agent]


@cache
def offered() -> dict[str, EntryPoint]:
    """All kinds by name, none of them loaded. Raises `InvalidArgument` if two packages offer the same."""
    kinds: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in kinds and entry.value != kinds[entry.name].value:
            raise InvalidArgument(f"The agent kind {entry.name} is offered by two packages: uninstall one.")
        kinds[entry.name] = entry
    return kinds


def find_kind(name: str) -> AgentKind:
    """The kind of this name. Raises `InvalidArgument` if there is none, or if what is needed for it is missing."""
    entry = offered().get(name)
    if entry is None:
        raise InvalidArgument(f"There is no agent kind {name!a}: there are {', '.join(offered())}.")
    try:
        kind = entry.load()
    except ImportError as error:
        raise InvalidArgument(f"The agent kind {name} cannot be used here: {error}.") from error
    if not isinstance(kind, AgentKind):
        raise InvalidArgument(f"The agent kind {name} is no AgentKind, but {type(kind).__name__}.")
    return kind
