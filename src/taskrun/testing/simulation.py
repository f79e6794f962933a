"""The whole control plane without an event loop: the pure core, the naive store, and a clock moved by hand.

One `turn` is one turn of the engine's loop: the core decides, the store commits, and only then is anything said. What
the store answered comes in with the next turn.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count
from typing import TypeVar

from taskrun.domain.batch import Answer
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.inputs import (
    CancelTask,
    ConnectWorker,
    ContinueTask,
    CreateTask,
    Input,
    WorkerGone,
    WorkerSpoke,
)
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import TaskRunError
from taskrun.domain.events import DomainEvent
from taskrun.domain.now import Now
from taskrun.domain.protocol import FEATURES, AssignRun, FromWorker, Hello, LiveRun, RunReport, ToWorker
from taskrun.domain.quotas import FREE, Policy
from taskrun.domain.records import NO_LABELS, AgentSpec, Labels, StoryEntry, Task, TaskSpec, WorkerInfo, WorkerView
from taskrun.domain.status import FailureKind, RunStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.invariants import check_core
from taskrun.testing.naive_store import NaiveStore

#: What a worker of today announces, and what one of old does.
NEW, OLD = frozenset(FEATURES), frozenset[str]()

_Event = TypeVar("_Event", bound=DomainEvent)


class Simulation:
    """Callers, workers and time around one core. Every method that says something runs turns until nothing is left."""

    def __init__(self, timers: ControlPlaneTimers | None = None, policy: Policy = FREE) -> None:
        self.timers = timers or ControlPlaneTimers()
        self.policy = policy
        self.store = NaiveStore()
        self.mono = 1_000.0
        #: By how much the wall clock was set wrong.
        self.utc_shift_ms = 0
        self.answers: list[Answer] = []
        self.sent: dict[int, list[ToWorker]] = {}
        self.closed: dict[int, TaskRunError] = {}
        self.replies: dict[object, object] = {}
        self.events: list[DomainEvent] = []
        self._ids, self._sessions, self._replies = count(1), count(1), count(1)
        self.core = self._new_core()

    @property
    def now(self) -> Now:
        """This moment."""
        return Now(self.mono, round(self.mono * 1000) + self.utc_shift_ms)

    # Turns.

    def turn(self, *inputs: Input, overtake: bool = False) -> Turn:
        """One turn. The store's last answers come first, as in the engine, unless the inputs are to `overtake` them."""
        turn = self.core.handle([*inputs, *self.answers] if overtake else [*self.answers, *inputs], self.now)
        self.answers = self.store.commit(turn.batch)
        self._speak(turn)
        check_core(self.core, self.store, self.answers)
        return turn

    def settle(self) -> None:
        """Turns until the store has nothing more to answer."""
        while self.answers:
            self.turn()

    def restart(self) -> None:
        """The control plane dies between two turns, with every stream, and a new one takes over the store."""
        self.answers = []
        self.core = self._new_core()
        turn = self.core.recover(self.store.recover(), self.now)
        self.answers = self.store.commit(turn.batch)
        self._speak(turn)
        check_core(self.core, self.store, self.answers)

    def wait(self, seconds: float) -> None:
        """Time passes, and each deadline is kept."""
        until = self.mono + seconds
        while (at := self.core.next_deadline()) is not None and at <= until:
            self.mono = max(self.mono, at)
            self.turn()
            self.settle()
        self.mono = until

    # Callers.

    def create(self, agent: str = "echo", *, by: str = "client:test", **options: object) -> Task:
        """Creates a task; `options` are fields of `TaskSpec`. Raises what the core refuses with."""
        return self.create_all(TaskSpec(agent, "1", **options), by=by)[0]  # type: ignore[arg-type]  # as the caller says

    def create_all(self, *specs: TaskSpec, by: str = "client:test") -> list[Task]:
        """Creates the tasks in one turn."""
        requests = [CreateTask(next(self._replies), spec, by) for spec in specs]
        self.turn(*requests)
        self.settle()
        return [self._task_of(request.reply) for request in requests]

    def cancel(self, task_id: str) -> Task:
        """Asks for the task's end. Raises what the core refuses with."""
        reply = next(self._replies)
        self.turn(CancelTask(reply, task_id))
        self.settle()
        return self._task_of(reply)

    def say_more(
        self,
        task_id: str,
        message: str = "more",
        *,
        by: str = "client:test",
        fork: bool = False,
        key: str = "",
        elsewhere: WorkerView | None = None,
    ) -> int:
        """Says something to the agent of a task. Returns where the answer will be; see `answer`."""
        reply = next(self._replies)
        self.turn(ContinueTask(reply, self.task(task_id), message, by, fork, key, elsewhere))
        self.settle()
        return reply

    def answer(self, reply: int) -> Task | None:
        """The task that answers a message, or None while there is no answer. Raises what the core refuses with."""
        return self._task_of(reply) if reply in self.replies else None

    def task(self, task_id: str) -> Task:
        """The task as stored."""
        return self.store.tasks[task_id]

    def story(self, task_id: str) -> list[StoryEntry]:
        """The task's story as stored."""
        return self.store.stories[task_id]

    # Workers.

    def hello(
        self,
        *agents: str,
        slots: int = 10,
        labels: Labels = NO_LABELS,
        features: frozenset[str] = NEW,
        process: str = "",
        live_runs: Sequence[LiveRun] = (),
        stream: int = 0,
    ) -> Hello:
        """A hello that offers these agents. Without a process its runs end with the stream."""
        info = WorkerInfo("host", "1", tuple(map(AgentSpec, agents)), labels)
        return Hello(info, features, slots, process=process, live_runs=tuple(live_runs), stream=stream)

    def connect(
        self,
        worker_id: str = "w1",
        agents: Collection[str] = ("echo",),
        *,
        slots: int = 10,
        labels: Labels = NO_LABELS,
        features: frozenset[str] = NEW,
        process: str = "",
        live_runs: Sequence[LiveRun] = (),
        stream: int = 0,
    ) -> int:
        """Opens a stream and returns its session. Raises what the core refuses with."""
        hello = self.hello(
            *agents,
            slots=slots,
            labels=labels,
            features=features,
            process=process,
            live_runs=live_runs,
            stream=stream,
        )
        session, reply = next(self._sessions), next(self._replies)
        self.turn(ConnectWorker(reply, session, worker_id, hello))
        self.settle()
        answer = self.replies.pop(reply)
        if isinstance(answer, TaskRunError):
            raise answer
        assert answer == session
        return session

    def say(self, session: int, *messages: FromWorker) -> None:
        """The worker sends the messages at once."""
        self.turn(WorkerSpoke(session, messages))
        self.settle()

    def report(
        self, session: int, run_id: str, status: RunStatus, failure: FailureKind | None = None, error: str = ""
    ) -> None:
        """The worker reports about a run."""
        self.say(session, RunReport(run_id, status, error, failure))

    def vanish(self, session: int) -> None:
        """The stream breaks."""
        self.turn(WorkerGone(session))
        self.settle()

    def heard(self, session: int) -> list[ToWorker]:
        """What was sent on this stream since the last look."""
        return self.sent.pop(session, [])

    def assigned(self, session: int) -> AssignRun:
        """The one run that was assigned on this stream since the last look."""
        [run] = [message for message in self.heard(session) if isinstance(message, AssignRun)]
        return run

    def happened(self, kind: type[_Event]) -> list[_Event]:
        """The events of this kind since the beginning."""
        return [event for event in self.events if isinstance(event, kind)]

    # Inside.

    def _new_core(self) -> ControlPlaneCore:
        return ControlPlaneCore(self.timers, lambda: f"{next(self._ids):08}", policy=self.policy)

    def _speak(self, turn: Turn) -> None:
        for session, messages in turn.sends.items():
            self.sent.setdefault(session, []).extend(messages)
        for session, ack in turn.acknowledgements():
            self.sent.setdefault(session, []).append(ack)
        self.closed.update(turn.closes)
        self.replies.update(turn.replies)
        self.events += turn.events

    def _task_of(self, reply: object) -> Task:
        answer = self.replies.pop(reply)
        if isinstance(answer, TaskRunError):
            raise answer
        assert isinstance(answer, Task)
        return answer
