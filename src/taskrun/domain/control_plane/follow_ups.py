"""Messages of people for the agents of tasks.

A task that has ended stays as it is: what goes on with it is a new task, which only the worker that holds the session
can do. Of a task that runs the worker is given the message, and says in the run's own story that it has taken it. Then
it is stored, and its sender is answered; should the run end, or nothing be heard for a while, the sender is told so. A
message for the run of another control plane is relayed.
"""

from __future__ import annotations

from collections.abc import Callable

from taskrun.domain.control_plane.active_run import ActiveRun
from taskrun.domain.control_plane.askers import Asker, accept, refuse
from taskrun.domain.control_plane.creating import Creating
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.inputs import ContinueTask, CreateTask
from taskrun.domain.control_plane.relaying import MOVES, Relaying
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.conversation import MAX_TAKEN, follow_up, known_as, message_id
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    TaskRunError,
    Unavailable,
    Unconfirmed,
)
from taskrun.domain.protocol import FOLLOW_UP, ContinueRun
from taskrun.domain.records import RunMessage, Task
from taskrun.domain.relayed import AnswerMessage, MessagesClaimed, RelayedMessage
from taskrun.domain.status import ChatRole, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers

#: Nothing was said, in each of these cases. "{0}" is the task, "{1}" the worker.
_WAITS = "Task {0} waits still: there is no conversation yet to go on with."
_RUNS = "Task {0} runs still: only the session of a task that has ended can be gone on with as a copy."
_STOPS = "Task {0} is being stopped: continue it once it has ended."
_AWAY = "The worker {1}, which runs task {0}, is away for the moment."
_OLD = "The worker {1} takes no messages for a run that goes on: continue task {0} once it has ended."
_NO_SESSION = "The run of task {0} has no session so far: its agent has not opened one yet, or keeps none."
_MANY = f"The run of task {{0}} has taken {MAX_TAKEN} messages: continue the task once it has ended."
_GONE = "The session of task {0} is with the worker {1}, which {2}."
_UNCONFIRMED = (
    "The worker {1} has not confirmed in time that task {0} takes the message. It may do so still: its history tells."
)


class FollowUps:
    """Passes messages on to runs, and makes tasks of those that come after the end."""

    def __init__(
        self,
        fleet: Fleet,
        runs: Runs,
        creating: Creating,
        relaying: Relaying | None,
        timers: ControlPlaneTimers,
        new_id: Callable[[], str],
    ) -> None:
        """Without `relaying` nobody else has runs."""
        self._fleet, self._runs, self._creating, self._relaying = fleet, runs, creating, relaying
        self._timers, self._new_id = timers, new_id
        #: When a message was to be confirmed, by its run and its id.
        self._due: Deadlines[tuple[str, str]] = Deadlines()

    def go_on(self, turn: Turn, request: ContinueTask) -> None:
        """The message goes to the run, to a new task, or back."""
        task = request.task
        active = self._runs.of_task(task.id)
        if task.status.is_terminal:
            self._create(turn, request)
        elif active is not None:
            self._pass_on(turn, request, self._id_of(request), active)
        elif task.status is TaskStatus.PENDING:
            refuse(turn, request, FailedPrecondition(_WAITS.format(task.id)))
        elif self._relaying is None:
            refuse(turn, request, Unavailable(MOVES.format(task.id)))
        else:
            self._relay(turn, request, self._relaying)

    def claimed(self, turn: Turn, answer: MessagesClaimed) -> None:
        """What was left elsewhere for runs that are here goes to them."""
        for message in answer.messages:
            active = self._runs.of_task(message.task_id)
            if active is None or active.run.id != message.run_id:
                # The run that it was for is over, as its task tells.
                turn.batch.asks.append(AnswerMessage(message))
            else:
                self._pass_on(turn, message, message.id, active)

    def confirmed(self, turn: Turn, active: ActiveRun, message: RunMessage) -> None:
        """The worker has taken it, and the story has it."""
        if message.role is not ChatRole.USER or message.id not in active.asked:
            return
        _, askers = active.asked.pop(message.id)
        self._due.disarm((active.run.id, message.id))
        for asker in askers:
            accept(turn, asker, active.task)

    def next(self) -> float | None:
        """When the first message is to be confirmed; seconds, monotonic."""
        return self._due.next()

    def expire(self, turn: Turn) -> None:
        """Senders that have waited long enough are told so."""
        while (due := self._due.pop(turn.now.mono)) is not None:
            run_id, id = due
            active = self._runs.of_run(run_id)
            # A run that went to another control plane and came back has nobody waiting here.
            if active is not None and id in active.asked:
                _, askers = active.asked.pop(id)
                for asker in askers:
                    refuse(turn, asker, Unconfirmed(_UNCONFIRMED.format(active.task.id, active.worker.id)))

    # After the end.

    def _create(self, turn: Turn, request: ContinueTask) -> None:
        """A new task, if its one worker is there; unless a run took the message when it came under this key before."""
        task = request.task
        id = self._id_of(request)
        known = known_as(id, task)
        if known:
            self._recall(turn, request, known == id)
            return
        try:
            spec = follow_up(task, request.message, fork=request.fork, key=request.key)
        except FailedPrecondition as no_session:
            refuse(turn, request, no_session)
        else:
            lack = self._fleet.lack(spec.holder, spec.agent, request.elsewhere)
            refusal = FailedPrecondition(_GONE.format(task.id, spec.holder, lack)) if lack else None
            self._creating.create(turn, CreateTask(request.reply, spec, request.asked_by, refusal))

    # While it runs.

    def _pass_on(self, turn: Turn, asker: Asker, id: str, active: ActiveRun) -> None:
        """Sends it, once for each key, and waits for the worker's word."""
        known = known_as(id, active.task, active.asked)
        if known != id:
            refusal = _used(active.task) if known else self._refusal(asker, active)
            if refusal is None:
                self._send(turn, asker, active, id)
            else:
                refuse(turn, asker, refusal)
        elif id in active.asked:
            active.asked[id][1].append(asker)
        else:
            accept(turn, asker, active.task)

    def _relay(self, turn: Turn, request: ContinueTask, relaying: Relaying) -> None:
        """Leaves it for whoever has the run, unless it is known here already what becomes of it."""
        task, id = request.task, self._id_of(request)
        known = known_as(id, task)
        if known:
            self._recall(turn, request, known == id)
        elif request.fork:
            refuse(turn, request, FailedPrecondition(_RUNS.format(task.id)))
        else:
            relaying.leave(turn, request, id)

    def _recall(self, turn: Turn, request: ContinueTask, same: bool) -> None:
        """A run has taken a message under this key before, the same or another."""
        turn.replies.append((request.reply, request.task if same else _used(request.task)))

    def _send(self, turn: Turn, asker: Asker, active: ActiveRun, id: str) -> None:
        order = ContinueRun(active.run.id, asker.message, id, turn.now.utc_ms)
        active.asked[id] = (order, [asker])
        self._due.arm((active.run.id, id), turn.now.mono + self._timers.follow_up)
        self._fleet.send(turn, active.worker, order)

    def _refusal(self, asker: Asker, active: ActiveRun) -> TaskRunError | None:
        """Why the run cannot take a message, the first of these that is so."""
        worker = active.worker
        here = self._fleet.is_here(worker)
        if not here and isinstance(asker, RelayedMessage) and asker.again:
            # Another may have passed it on: it waits for the worker, as what was passed on here does.
            return None
        fork = isinstance(asker, ContinueTask) and asker.fork
        reasons: tuple[tuple[bool, type[TaskRunError], str], ...] = (
            (fork, FailedPrecondition, _RUNS),
            (active.stop is not None or active.task.cancel_requested, FailedPrecondition, _STOPS),
            (not here, Unavailable, _AWAY),
            (FOLLOW_UP not in worker.features, FailedPrecondition, _OLD),
            (not active.run.session_id, FailedPrecondition, _NO_SESSION),
            (len(active.run.taken) + len(active.asked) >= MAX_TAKEN, ResourceExhausted, _MANY),
        )
        return next((kind(why.format(active.task.id, worker.id)) for is_so, kind, why in reasons if is_so), None)

    def _id_of(self, request: ContinueTask) -> str:
        """What the message is known by: under a key the same each time."""
        return message_id(request.asked_by, request.key, request.message) if request.key else self._new_id()


def _used(task: Task) -> AlreadyExists:
    return AlreadyExists(f"The idempotency key was used for another message to task {task.id}.")
