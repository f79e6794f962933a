"""The store: what is committed is kept, a commit takes a while, and its answer may never come.

Behind it is the simplest store there can be, `NaiveStore`; that the real ones do the same is what their contract says.
A batch is applied as a whole or not at all. What a caller makes of a commit that fails is another matter: it may have
been applied all the same, and a caller that dies may do so at any point before it hears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from taskrun.adapters.stores.batches import check_batch
from taskrun.domain.batch import Answer, Batch, Recovery
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import StoryEntry
from taskrun.testing.naive_store import NaiveStore

if TYPE_CHECKING:
    from simulation.world import World

#: What the store tells of a commit: its answers, or that it failed.
Told = Callable[["list[Answer] | StoreFailed"], None]


class Store:
    """Keeps everything, across the deaths of those who use it. One commit is under way at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kept = NaiveStore()
        #: The commit that is under way and not applied yet.
        self._batch: Batch | None = None
        self._began_at = 0.0

    def recover(self) -> Recovery:
        """What a control plane begins with."""
        return self.kept.recover()

    def story(self, task_id: str, from_seq: int) -> list[StoryEntry]:
        """The task's story from this number on."""
        story = self.kept.stories.get(task_id, [])
        entries = [entry for entry in story if entry.next_seq > from_seq]
        return [entries[0].since(from_seq), *entries[1:]] if entries else []

    def commit(self, batch: Batch, told: Told) -> None:
        """Applies the batch after a while, or not; calls `told` after another while, or not.

        The one who commits may die of it: before it is applied, after that, or when it is about to tell.
        """
        world = self._world
        self._batch, self._began_at = batch, world.agenda.time
        if world.happens("death before a commit"):
            world.plane.after(self._while(), world.plane.crash)
        elif world.happens("commit refused"):
            world.agenda.after(self._while(), self._refuse, batch, told)
        else:
            world.agenda.after(self._while(), self._apply, batch, told)

    def lose(self) -> None:
        """Who commits is dead: what is under way may still be applied, or not."""
        batch, self._batch = self._batch, None
        if batch is not None and self._world.happens_half():
            self._world.count("commit of a dead")
            self._keep(batch, self._began_at)

    def _apply(self, batch: Batch, told: Told) -> None:
        if self._batch is not batch:
            return
        self._batch = None
        answers = self._keep(batch, self._began_at)
        world, plane = self._world, self._world.plane
        if world.happens("death after a commit"):
            plane.after(self._while(), plane.crash)
        elif world.happens("commit unanswered"):
            plane.after(self._while(), told, StoreFailed("The answer did not come."))
        else:
            plane.after(self._while(), told, answers)

    def _refuse(self, batch: Batch, told: Told) -> None:
        if self._batch is batch:
            self._batch = None
            self._world.plane.after(0.0, told, StoreFailed("The store was told to refuse this."))

    def _keep(self, batch: Batch, decided_at: float) -> list[Answer]:
        kept = self.kept
        touched = batch.tasks.keys() | batch.story.keys()
        before = {task_id: kept.tasks.get(task_id) for task_id in touched}
        check_batch(batch, {id: (task.status, task.next_seq) if task else (None, None) for id, task in before.items()})
        answers = kept.commit(batch)
        self._world.oracle.stored(batch, before, decided_at)
        return answers

    def _while(self) -> float:
        return self._world.chance.expovariate(2 / self._world.faults.commit)
