"""Clients that do not give up: they create, cancel, watch, say more, and release what was taken for poison."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation.agents import DONE, HANGS, Script
from simulation.process import Process
from simulation.watchers import Watcher
from taskrun.domain.control_plane.inputs import CancelTask, ContinueTask, CreateTask
from taskrun.domain.errors import Unavailable
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import FailureKind

if TYPE_CHECKING:
    from simulation.world import World

#: Seconds that a client waits for an answer, and before it asks again.
_PATIENCE = 10.0
_AGAIN = 1.0
NAME = "client:one"
Request = Callable[[object], CreateTask | CancelTask | ContinueTask]


class Clients(Process):
    """All of them, on a machine that never fails."""

    def __init__(self, world: World) -> None:
        super().__init__(world.agenda, world.chance, "client")
        self._world = world
        #: What is wanted and not answered yet.
        self.open = 0
        self.watchers: list[Watcher] = []
        self._released: set[str] = set()
        self._said = 0

    def create(self, spec: TaskSpec) -> None:
        """Wants a task. Without a key nobody knows, after a call that was not answered, whether there is one."""

        def answered(answer: object) -> None:
            if isinstance(answer, Task):
                self._world.oracle.acknowledged(answer, spec)
                self._care(answer)

        self._ask(lambda reply: CreateTask(reply, spec, NAME), answered, again=bool(spec.idempotency_key))

    def cancel(self, task_id: str) -> None:
        """Wants the task to end."""

        def answered(answer: object) -> None:
            if isinstance(answer, Task):
                self._world.oracle.cancelled(answer)

        self._world.oracle.asked_to_cancel(task_id)
        self._ask(lambda reply: CancelTask(reply, task_id), answered, again=True)

    def say(self, task_id: str) -> None:
        """Says something to the agent of the task, once: it has a key."""
        script = Script.drawn(self.chance)
        self._said += 1
        message = (script._replace(end=DONE) if script.end == HANGS else script).text(self._said)
        key = f"message-{self._said}"

        def answered(answer: object) -> None:
            if isinstance(answer, Task):
                self._world.oracle.talked(task_id, message, answer)

        def request(reply: object) -> ContinueTask:
            return ContinueTask(reply, self._world.store.kept.tasks[task_id], message, NAME, key=key)

        self._world.oracle.speaks(message)
        self._ask(request, answered, again=True)

    def saw_end(self, task: Task) -> None:
        """A watcher read a task to its end: what was taken for poison is made once more."""
        poison = task.runs and task.runs[-1].failure is FailureKind.POISON
        if poison and task.id not in self._released and len(self._released) < 3:
            self._released.add(task.id)
            self._world.count("release")
            self.create(task.spec)

    def end_what_hangs(self) -> None:
        """What would run for ever is cancelled."""
        for task in self._world.store.kept.tasks.values():
            if Script.of(task.spec).end == HANGS and not task.cancel_requested and not task.status.is_terminal:
                self.cancel(task.id)

    @property
    def quiet(self) -> bool:
        """Whether every call is answered and every watcher has read to the end."""
        return not self.open and all(watcher.over for watcher in self.watchers)

    def _care(self, task: Task) -> None:
        """Some follow the task, from its beginning or from somewhere else, and some want to end it."""
        chance = self.chance
        for _ in range(chance.choice((0, 1, 1, 2))):
            watcher = Watcher(self._world, self, task.id, chance.choice((0, 0, 0, 3)))
            self.watchers.append(watcher)
            self.after(chance.uniform(0, 30), watcher.open)
        if chance.random() < 0.2:
            self.after(chance.uniform(0, 60), self.cancel, task.id)
        if self._world.talks:
            for _ in range(chance.randrange(4)):
                self.after(chance.uniform(0, 60), self.say, task.id)

    def _ask(self, request: Request, answered: Callable[[object], None], again: bool) -> None:
        self.open += 1
        self.after(self._delay(), self._call, request, answered, again)

    def _call(self, request: Request, answered: Callable[[object], None], again: bool) -> None:
        """Asks once. A call is answered once, or given up; an answer that comes later concerns nobody."""
        over = False

        def heard(answer: object) -> None:
            nonlocal over
            if over:
                return
            over = True
            self._world.note(self.name, "is answered", answer)
            if again and isinstance(answer, Unavailable):
                self.after(_AGAIN * self.chance.random(), self._call, request, answered, again)
            else:
                self.open -= 1
                answered(answer)

        def reply(answer: object) -> None:
            if self._world.happens("call unanswered"):
                return
            self.after(self._delay(), heard, answer)

        plane = self._world.plane
        if plane.alive:
            plane.after(self._delay(), plane.ask, request, reply)
        self.after(_PATIENCE, heard, Unavailable("The call took too long."))

    def _delay(self) -> float:
        return self.chance.expovariate(1 / self._world.faults.delay)
