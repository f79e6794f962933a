"""What all agents that are programs have in common: a directory, an environment, a containment and a time limit.

An agent whose definition is a `SessionDefinition` has sessions. The directory of a run that ends with a session id is
kept, and is the one that a later run with this id gets: the agent only has to tell its program to go on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
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
from taskrun.adapters.agents.last_words import told
from taskrun.adapters.agents.sessions.definition import SessionDefinition
from taskrun.adapters.agents.sessions.entering import enter
from taskrun.adapters.agents.sessions.rooms import Room, SessionRooms
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
    #: Has a directory for each session, while it is used and while it is kept.
    sessions: SessionRooms


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
        return await executed(self.definition, containment(), sink, lambda sink: self._contained(request, sink))

    def backends(self) -> tuple[ModelBackend, ...]:
        """The models that it announces."""
        return ()

    @abstractmethod
    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        """The program for this run. With a `request.session_id` it goes on with that session, in the directory that its
        last run left; a fork is in a copy of that. Raises `CannotRun`."""

    @abstractmethod
    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        """Reads the program's output, talks with it if it `talks`, and judges how the run went."""

    async def interrupt(self, process: ContainedProcess) -> bool:
        """Asks the program to break off and to say how far it got, so that `follow` comes to its end. False if this
        kind of program can be asked no such thing, as by default. It has two seconds of the stop grace for that."""
        return False

    async def _contained(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        async with AsyncExitStack() as stack:
            room = await enter(stack, self._room(request))
            program = self._program(request, room.directory)
            try:
                process = await stack.enter_async_context(contained(program, self.workshop.stop_grace))
            except NotStarted as error:
                message = f"The agent's program could not be started: {error}."
                raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message) from error
            story = self.follow(request, process, sink)
            result = await told(story, lambda patience: self._break_off(process, patience), self.workshop.stop_grace)
            room.session_id = result.session_id or room.session_id
            return result

    def _room(self, request: AgentRequest) -> AbstractAsyncContextManager[Room]:
        definition = self.definition
        if isinstance(definition, SessionDefinition):
            keep = definition.keep_sessions
            return self.workshop.sessions.room(definition.name, request.session_id, fork=request.fork, keep=keep)
        begin_anew(definition, request)
        return _passing_room(self.workshop.work_dir)

    async def _break_off(self, process: ContainedProcess, patience: float) -> bool:
        asked = await self.interrupt(process)
        if asked:
            process.grace -= patience
        return asked

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
        passing = None if isinstance(self.definition, SessionDefinition) else directory.root
        return Program(launch.argv, environ, working_directory, passing, launch.input, launch.talks)


@asynccontextmanager
async def _passing_room(work_dir: Path) -> AsyncIterator[Room]:
    """A room of which nothing is kept."""
    directory = RunDirectory.make(work_dir)
    try:
        yield Room(directory)
    finally:
        directory.delete()
