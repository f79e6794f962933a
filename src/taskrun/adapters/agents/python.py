"""An async Python function as an agent, run in the worker's own process."""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import ClassVar

from taskrun.adapters.agents.definition import AgentDefinition, Rule
from taskrun.adapters.agents.execution import begin_anew, executed
from taskrun.adapters.agents.function import NO_CONTAINMENT, PYTHON, Function, result_of
from taskrun.adapters.agents.kinds import AgentKind
from taskrun.adapters.agents.program import Workshop
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.records import AgentSpec
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink


class PythonDefinition(AgentDefinition, frozen=True, kw_only=True):
    """Adds the function."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: not all(agent.function.partition(":")[::2]),
            "`function` is missing: a module and an async function in it, such as `function = 'mine.agents:triage'`.",
        ),
        (
            lambda agent: agent.working_directory or agent.environment or agent.set_environment,
            "a function is in the worker's own process: it has no directory and no environment of its own.",
        ),
    )

    kind: str = PYTHON
    #: "module:function".
    function: str = ""
    #: A directory that holds the module, unless it is installed.
    path: str = ""
    #: The function goes on with `request.session_id`.
    sessions: bool = False


class PythonAgent:
    """Implements `Agent` over the function that a definition names; see `result_of` for what it may return.

    It is loaded here. Raises `InvalidArgument` if there is no such function.
    """

    def __init__(self, definition: PythonDefinition, workshop: Workshop) -> None:
        self._definition = definition
        self._grace = workshop.stop_grace
        self._function = _load(definition)
        self._spec = AgentSpec(definition.name, definition.description, definition.labels)

    @property
    def spec(self) -> AgentSpec:
        """See `Agent.spec`."""
        return self._spec

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        """See `Agent.run`. One that goes on when it is cancelled is left to itself after the stop grace; nothing can
        end it, nor one that does not await."""

        async def work(sink: AgentSink) -> AgentResult:
            if not self._definition.sessions:
                begin_anew(self._definition, request)
            return await result_of(self._function, request, sink, self._grace)

        return await executed(self._definition, NO_CONTAINMENT, sink, work)


def _load(definition: PythonDefinition) -> Function:
    name, _, attribute = definition.function.partition(":")
    place = str(Path(definition.path).absolute())
    # Behind what is installed: nothing in it can stand in for a part of the worker.
    if definition.path and place not in sys.path:
        sys.path.append(place)
    try:
        function: Function = getattr(import_module(name), attribute)
    # Whatever the module does when it is loaded is its own, and so is what goes wrong; that it ends the process, too.
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidArgument(f"Agent {definition.name}: {definition.function} cannot be loaded: {reason}") from error
    if not iscoroutinefunction(function):
        raise InvalidArgument(f"Agent {definition.name}: {definition.function} is no async function.")
    return function


KIND = AgentKind(PythonDefinition, PythonAgent)
