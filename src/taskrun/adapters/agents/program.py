"""What all agents that are programs have in common: a directory, an environment, a containment and a time limit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.environment import of_run, passed
from taskrun.adapters.agents.containment.means import containment
from taskrun.adapters.agents.containment.process import ContainedProcess, NotStarted, Program, contained
from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.execution import CannotRun as CannotRun
from taskrun.adapters.agents.execution import begin_anew, executed
from taskrun.domain.records import AgentSpec, ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a worker's programs run."""

    #: Holds a directory for each run under way.
    work_dir: Path
    #: The worker's environment, of which a program gets only what is listed.
    environ: Mapping[str, str]
    #: Seconds between SIGTERM and SIGKILL.
    stop_grace: float


@dataclass(frozen=True, slots=True)
class Launch:
    """One run's program, as its agent wants it."""

    argv: tuple[str, ...]
    input: bytes
    #: Set for the program, whatever the worker's environment says.
    environ: Mapping[str, str]
    #: Its input stays open, and `follow` talks with it.
    talks: bool = False


D = TypeVar("D", bound=AgentDefinition)


class ProgramAgent(ABC, Generic[D]):
    """Implements `Agent`; what the program is and how it is understood is up to the subclass."""

    #: Variables that this kind of agent needs, beside those that its definition allows. A name may hold `*`.
    ALLOWED: tuple[str, ...] = ()
    #: Whether this kind goes on with `AgentRequest.session_id`; where it does not, nobody has to look at it.
    SESSIONS: bool = False

    def __init__(self, definition: D, workshop: Workshop) -> None:
        self.definition = definition
        self.workshop = workshop
        self._spec = AgentSpec(definition.name, definition.description, definition.labels, self.backends())

    @property
    def spec(self) -> AgentSpec:
        """See `Agent.spec`."""
        return self._spec

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        """See `Agent.run`. The definition's own time limit ends it as TIMEOUT."""
        return await executed(self.definition, containment(), sink, lambda: self._contained(request, sink))

    def backends(self) -> tuple[ModelBackend, ...]:
        """The models that it announces."""
        return ()

    @abstractmethod
    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The program for this run. Raises `CannotRun`."""

    @abstractmethod
    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """Reads the program's output, and judges how the run went."""

    async def _contained(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        if not self.SESSIONS:
            begin_anew(self.definition, request)
        try:
            directory = RunDirectory.make(self.workshop.work_dir)
        except OSError as error:
            raise CannotRun(FailureKind.AGENT_UNAVAILABLE, f"The run got no directory: {error.strerror}.") from error
        try:
            async with contained(self._program(request, directory), self.workshop.stop_grace) as process:
                return await self.follow(request, process, sink)
        except NotStarted as error:
            message = f"The agent's program could not be started: {error}."
            raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message) from error
        finally:
            directory.delete()

    def _variables(self) -> Mapping[str, str]:
        """What the program sees of the worker's environment, and what its definition sets."""
        passing = passed(self.workshop.environ, (*self.ALLOWED, *self.definition.environment))
        return {**passing, **self.definition.set_environment}

    def _program(self, request: AgentRequest, directory: RunDirectory) -> Program:
        launch = self.launch(request, directory)
        environ = {
            **of_run(request.run_id, request.task_id, directory),
            **launch.environ,
            **self._variables(),
        }
        working_directory = Path(self.definition.working_directory or directory.work).absolute()
        if not working_directory.is_dir():
            raise CannotRun(FailureKind.AGENT_UNAVAILABLE, "The agent's working directory does not exist.")
        return Program(launch.argv, environ, working_directory, directory.root, launch.input, launch.talks)
