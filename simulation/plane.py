"""The control plane's process: what `engine.control_plane` is around the core, with everything that waits as an event.

The order is the engine's: inputs gather while a commit is under way, the core decides, the store commits, and only then
the turn is spoken, part by part. It may die between any two of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from simulation.agenda import Agenda
from simulation.network import END, Connection, UpFrame
from simulation.process import Process
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
from taskrun.domain.errors import StoreFailed, TaskRunError, Unavailable
from taskrun.domain.protocol import Hello, ToWorker
from taskrun.testing.invariants import check_core

if TYPE_CHECKING:
    from simulation.watchers import Watcher
    from simulation.world import World

#: Seconds after which a failed start is tried again, as in the engine.
_PAUSE = 1.0
#: When it dies amid a turn it has said less than so many things, or all of them.
_EFFECTS = 8
#: Whoever waits for this gets the answer.
Reply = Callable[[object], None]


class Plane(Process):
    """One control plane, in one life after the other, on one store."""

    def __init__(self, world: World, agenda: Agenda, chance: Random) -> None:
        super().__init__(agenda, chance, "control plane")
        self._world = world
        self._ids = count(1)
        self._forget()

    # Its life.

    def begin(self) -> None:
        """Starts, and takes over what the store holds."""
        super().begin()
        self._sessions = count(1)
        self._seen: set[str] = set()
        #: Whether it has lost, in this life, what it knew of its workers' streams.
        self._begun_again = False
        self._recover()

    def crash(self) -> None:
        """It is gone, with every stream, and what it had not stored. It begins again after a while."""
        if not self.alive:
            return
        world = self._world
        world.note(self.name, "dies")
        self.end()
        world.store.lose()
        for connection in self._streams():
            connection.left_by_plane()
        for watcher in self._watching():
            watcher.miss()
        self._forget()
        world.weather.begin_again(self)

    def _forget(self) -> None:
        self.ready = False
        self._busy = False
        self._inbox: list[Input] = []
        self._answers: Sequence[Answer] = ()
        #: Open streams by session; who waits for an answer; who follows which task.
        self._connections: dict[int, Connection] = {}
        self._replies: dict[object, Reply] = {}
        self._watchers: dict[str, dict[Watcher, None]] = {}

    def _recover(self) -> None:
        self.core = ControlPlaneCore(self._world.plane_timers, lambda: f"{next(self._ids):04}", self._seen)
        turn = self.core.recover(self._world.store.recover(), self.now())
        self._busy = True
        self._world.note(self.name, "begins from its store")
        self._commit(turn, self._recovered, self._again_later)

    def _recovered(self, turn: Turn, answers: Sequence[Answer]) -> None:
        # What is asked for at the start needs no answer: tasks that rest.
        self.ready = True
        self._speak(turn, ())
        for watcher in self._watching():
            watcher.ring()

    def _again_later(self) -> None:
        self.after(_PAUSE, self._recover)

    def _begin_again(self) -> None:
        """A commit failed: its turn is lost, and with it all that the core knew."""
        self._begun_again = True
        error = Unavailable("The control plane could not store what it decided.")
        for connection in self._streams():
            self._close(connection, error)
        for reply in list(self._replies.values()):
            reply(error)
        watchers = self._watchers
        self._forget()
        self._watchers = watchers
        self._recover()

    # What comes in.

    def hear(self, connection: Connection, sent_at: float, frame: UpFrame) -> None:
        """A frame of a worker's stream."""
        worker = connection.worker
        if connection.plane_life != self.life:
            # It was opened to one that is dead: the machine itself answers that nobody is there.
            worker.after(0.0, worker.miss, connection)
            return
        if isinstance(frame, Hello):
            self._greet(connection, frame)
        elif frame == END:
            self.miss(connection)
        elif not connection.session:
            connection.early.append(frame)
            return
        elif connection.session in self._connections:
            assert not isinstance(frame, str)
            self._submit(WorkerSpoke(connection.session, frame))
        else:
            return
        if connection.life == worker.life:
            worker.heard_at = max(worker.heard_at, sent_at)

    def miss(self, connection: Connection) -> None:
        """A stream is over."""
        if self._connections.get(connection.session) is connection:
            del self._connections[connection.session]
            self._submit(WorkerGone(connection.session))
        connection.early.append(END)

    def has(self, connection: Connection) -> bool:
        """Whether this stream is open here."""
        return self._connections.get(connection.session) is connection

    def ask(self, request: Callable[[object], CreateTask | CancelTask | ContinueTask], reply: Reply) -> None:
        """A client's call."""
        self._request(request(token := object()), token, reply)

    def watch(self, watcher: Watcher) -> None:
        """Somebody wants to follow a task."""
        self._watchers.setdefault(watcher.task_id, {})[watcher] = None
        self.after(0.0, watcher.ring)

    def unwatch(self, watcher: Watcher) -> None:
        """Nobody listens there any more; harmless if that is known."""
        self._watchers.get(watcher.task_id, {}).pop(watcher, None)

    def _greet(self, connection: Connection, hello: Hello) -> None:
        session = next(self._sessions)
        self._connections[session] = connection
        forgotten = self._begun_again and connection is not connection.worker.link
        if forgotten or connection.life != connection.worker.life:
            self._world.oracle.haunted(connection.worker)

        def answered(answer: object) -> None:
            if isinstance(answer, TaskRunError):
                if self._connections.pop(session, None) is not None:
                    self._submit(WorkerGone(session))
                    self._close(connection, answer)
                return
            connection.session = session
            early, connection.early = connection.early, []
            for frame in early:
                self.hear(connection, 0.0, frame)

        self._request(ConnectWorker(answered, session, connection.worker.name, hello), answered, answered)

    def _request(
        self, item: CreateTask | CancelTask | ContinueTask | ConnectWorker, token: object, reply: Reply
    ) -> None:
        if self.ready:
            self._replies[token] = reply
            self._submit(item)
        else:
            reply(Unavailable("The control plane is not ready."))

    def _submit(self, item: Input) -> None:
        self._inbox.append(item)
        self._wake()

    # The loop.

    def _wake(self) -> None:
        if self.ready and not self._busy:
            self._busy = True
            self.after(0.0, self._turn)

    def _turn(self) -> None:
        inputs = [*self._answers, *self._inbox]
        self._inbox, self._answers = [], ()
        self._world.note(self.name, "takes in", inputs)
        turn = self.core.handle(inputs, self.now())
        self._commit(turn, self._speak, self._begin_again)

    def _commit(self, turn: Turn, stored: Callable[[Turn, Sequence[Answer]], None], failed: Callable[[], None]) -> None:
        def told(answers: list[Answer] | StoreFailed) -> None:
            if isinstance(answers, StoreFailed):
                self._world.note(self.name, "hears that the store failed")
                failed()
            else:
                stored(turn, answers)

        if turn.batch:
            self._world.store.commit(turn.batch, told)
        else:
            stored(turn, ())

    def _speak(self, turn: Turn, answers: Sequence[Answer]) -> None:
        self._answers = answers
        check_core(self.core, self._world.store.kept, answers)
        last = self.chance.randrange(_EFFECTS) if self._world.happens("death amid the effects") else None
        for number, effect in enumerate(self._effects(turn)):
            if number == last:
                break
            effect()
        if last is not None:
            self.crash()
            return
        self._busy = False
        self.wake(self.core.next_deadline(), self._wake)
        if self._answers or self._inbox:
            self._wake()

    def _effects(self, turn: Turn) -> Iterator[Callable[[], None]]:
        """What the turn has to say, in the engine's order."""
        for session, messages in turn.sends.items():
            yield partial(self._send, session, messages)
        for session, error in turn.closes:
            yield partial(self._close, self._connections.pop(session, None), error)
        for token, value in turn.replies:
            yield partial(self._replies.pop(token), value)
        for task_id in turn.batch.story:
            for watcher in self._watchers.get(task_id, ()):
                yield watcher.ring
        for session, ack in turn.acknowledgements():
            yield partial(self._send, session, [ack])

    def _send(self, session: int, messages: Sequence[ToWorker]) -> None:
        connection = self._connections.get(session)
        if connection is not None:
            self._world.note(self.name, f"to {connection.worker.name}", messages)
            connection.down.send(messages, connection.worker.heard_at)

    def _close(self, connection: Connection | None, error: TaskRunError) -> None:
        if connection is not None:
            self._world.note(self.name, f"ends the stream of {connection.worker.name}", error)
            connection.down.send(error, connection.worker.heard_at)

    def _streams(self) -> list[Connection]:
        return list(self._connections.values())

    def _watching(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]
