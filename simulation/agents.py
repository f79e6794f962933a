"""What agents do: they say so many words, then they end, fail or hang. A task's input is the script, and so is whatever
else is said to them: with their first word they have a session."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from taskrun.domain.daemon.effects import StartAgent
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import RunEvent, TaskSpec, Usage
from taskrun.domain.status import FailureKind, RunEventType, RunStatus

if TYPE_CHECKING:
    from simulation.worker import Worker

#: How an agent ends: it is done, it has failed, or it is silent until somebody stops it.
DONE, FAILS, HANGS = "done", "fails", "hangs"
#: Of those that are told to stop, so many are done before they hear of it.
_TOO_LATE = 0.1
#: Every so manieth word is an event, which counts the words.
_EVENT = 3


class Script(NamedTuple):
    """So many words, so many seconds after one another, and then this end."""

    words: int
    pause: float
    end: str

    @staticmethod
    def drawn(chance: Random) -> Script:
        """Any script."""
        end = chance.choices((DONE, FAILS, HANGS), (8, 2, 1))[0]
        return Script(chance.randrange(12), round(chance.choice((0.0, 0.5, 2.0, 10.0, 40.0)) * chance.random(), 3), end)

    @staticmethod
    def of(spec: TaskSpec) -> Script:
        """The script in a task's input."""
        return Script.read(spec.input_json)

    @staticmethod
    def read(input_json: str) -> Script:
        """The script in an input, or in a message that is one."""
        value = json.loads(input_json)
        return Script(*(json.loads(value) if isinstance(value, str) else value)[:3])

    def text(self, number: int = 0) -> str:
        """As a task's input, or as a message, which nobody says twice if its number is another each time."""
        return json.dumps([*self, number])


class Agent:
    """Executes one turn of a run in a worker's process."""

    def __init__(self, worker: Worker, start: StartAgent, before: Agent | None = None) -> None:
        """`before` is the one that had the turn before."""
        self.worker, self.run, self._lane, self.before = worker, start.run, start.lane, before
        self.script = Script.read(start.run.input_json)
        #: It was told to stop, and is about to.
        self.stopping = False
        #: What was said in the run, and how it ended by its own word.
        self.said: list[str] = before.said if before else []
        self._before = len(self.said)
        self._left = self.script.words
        self.done = False
        self.failed = False
        self._next()

    def stop(self, grace: float) -> None:
        """It is gone within this time."""
        self.stopping = True
        chance = self.worker.chance
        failure = None if chance.random() < _TOO_LATE and self.script.end == DONE else FailureKind.CANCELLED
        self.worker.after(chance.uniform(0, grace), self._end, failure)

    def _next(self) -> None:
        self.worker.after(self.script.pause, self._go_on)

    def _go_on(self) -> None:
        if self._left:
            self._left -= 1
            self._say()
            self._next()
        elif self.script.end == DONE:
            self._end(None)
        elif self.script.end == FAILS:
            self._end(FailureKind.AGENT_ERROR)

    def _say(self) -> None:
        """A word that nobody else says, in no other place."""
        run_id = self.run.run_id
        word = f"{run_id}:{len(self.said)}"
        opens = not self.said
        if not self._lane.closed:
            self.said.append(word)
        if opens:
            self._lane.add(RunEvent(run_id, RunEventType.SESSION_INITIALIZED, {"session_id": run_id}, word))
        elif len(self.said) % _EVENT:
            self._lane.text(word)
        else:
            self._lane.add(RunEvent(run_id, RunEventType.USAGE, {"input_tokens": str(len(self.said))}, word))
        self.worker.speak()

    def _end(self, failure: FailureKind | None) -> None:
        if self.worker.agents.get(self.run.run_id) is not self:
            return
        self.done, self.failed = failure is None, failure is FailureKind.AGENT_ERROR
        status = RunStatus.FAILED if failure else RunStatus.COMPLETED
        session_id = self.run.run_id if self.said else ""
        usage = Usage(len(self.said) - self._before)
        self.worker.ended(self, RunReport(self.run.run_id, status, failure=failure, usage=usage, session_id=session_id))
