"""Following a task: a cursor into the stored story and a bell, over a stream that breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.network import Pipe
from taskrun.domain.records import StoryEntry

if TYPE_CHECKING:
    from simulation.clients import Clients
    from simulation.world import World

#: Seconds before a watch that broke is opened again, at the most.
_AGAIN = 2.0


class Watcher:
    """One who reads a task's story, and goes on where it was whenever the stream breaks."""

    def __init__(self, world: World, clients: Clients, task_id: str, from_seq: int) -> None:
        self._world, self._clients = world, clients
        self.task_id, self.from_seq = task_id, from_seq
        #: All it has read, in the order in which it came.
        self.read: list[StoryEntry] = []
        self.over = False
        self._pipe: Pipe[Sequence[StoryEntry]] | None = None
        #: What the control plane sends next on this stream.
        self._sends_from = 0

    @property
    def next_seq(self) -> int:
        """Where it goes on."""
        return self.read[-1].next_seq if self.read else self.from_seq

    def open(self) -> None:
        """Begins a stream, in the place of any other."""
        plane = self._world.plane
        if plane.ready:
            self._pipe = self._new_pipe()
            self._sends_from = self.next_seq
            plane.watch(self)
        else:
            self._clients.after(_AGAIN, self.open)

    def break_off(self) -> None:
        """The stream breaks, and both ends know it."""
        if self._pipe is not None:
            self._world.plane.unwatch(self)
            self.miss()

    def miss(self) -> None:
        """The stream is broken."""
        if self._pipe is not None:
            self._pipe.cut()
            self._pipe = None
            self._clients.after(_AGAIN * self._world.chance.random(), self.open)

    def ring(self) -> None:
        """There may be more to read: the control plane does so and sends it."""
        pipe = self._pipe
        if pipe is None:
            return
        entries = self._world.store.story(self.task_id, self._sends_from)
        task = self._world.store.kept.tasks[self.task_id]
        if entries:
            self._sends_from = entries[-1].next_seq
        if entries or (task.status.is_terminal and self._sends_from >= task.next_seq):
            pipe.send(entries)

    def _new_pipe(self) -> Pipe[Sequence[StoryEntry]]:
        pipe: Pipe[Sequence[StoryEntry]]
        pipe = Pipe(self._world, self._clients, lambda _, entries: self._hear(pipe, entries))
        return pipe

    def _hear(self, pipe: Pipe[Sequence[StoryEntry]], entries: Sequence[StoryEntry]) -> None:
        if pipe is not self._pipe:
            return
        self._world.oracle.read(self, entries)
        self.read += entries
        if not entries or entries[-1].is_end:
            self.over = True
            self._world.plane.unwatch(self)
            self._clients.saw_end(self._world.store.kept.tasks[self.task_id])
