"""Bugs, each planted by a patch, and how the oracle of the simulation names what it sees of them.

Most are those that are planted for `make chaos` too. What there is a patch of the engine or of a client is here one of
their counterparts in the simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from simulation.demand import Violation
from simulation.plane import Plane
from simulation.store import Store
from simulation.watchers import Watcher
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.daemon.slot import RunSlot
from taskrun.domain.daemon.talk import Talk
from taskrun.domain.protocol import ContinueRun
from taskrun.domain.records import RunMessage, StoryEntry, Task
from tests.chaos import bugs

Patch = pytest.MonkeyPatch


#: Whose word it is that something is not as promised. Any other exception is a crash, whatever it says.
_ORACLES = (AssertionError.__name__, Violation.__name__)


class Bug(NamedTuple):
    """What is wrong, and parts of what may be said of it."""

    plant: Any
    says: tuple[str, ...]

    def is_seen(self, failure: str) -> bool:
        """Whether this is how an oracle names it."""
        who, _, what = failure.partition(": ")
        return who in _ORACLES and any(says in what for says in self.says)


def acknowledged_before_the_commit(patch: Patch) -> None:
    commit = Plane._commit

    def hasty(self: Any, turn: Turn, stored: Any, failed: Any) -> None:
        replies, turn.replies = turn.replies, []
        for token, value in replies:
            self._replies.pop(token)(value)
        commit(self, turn, stored, failed)

    patch.setattr(Plane, "_commit", hasty)


def told_as_stored_before_it_is(patch: Patch) -> None:
    commit = Plane._commit

    def hasty(self: Any, turn: Turn, stored: Any, failed: Any) -> None:
        for session, ack in turn.acknowledgements():
            self._send(session, [ack])
        commit(self, turn, stored, failed)

    patch.setattr(Plane, "_commit", hasty)


def half_a_batch_is_kept(patch: Patch) -> None:
    """A commit that is cut off leaves the tasks and not their stories."""
    keep = Store._keep

    def torn(self: Any, batch: Any, decided_at: float) -> Any:
        if self._world.happens_half() and not self._world.plane.alive:
            batch = replace(batch, story={})
        return keep(self, batch, decided_at)

    patch.setattr(Store, "_keep", torn)


def watcher_skips(patch: Patch) -> None:
    story = Store.story

    def gappy(self: Any, task_id: str, from_seq: int) -> Sequence[StoryEntry]:
        return [entry for entry in story(self, task_id, from_seq) if entry.is_end or entry.seq % 3]

    patch.setattr(Store, "story", gappy)


def bell_forgotten_when_a_commit_fails(patch: Patch) -> None:
    """Watchers are woken by what a turn stores, and by nothing else."""
    patch.setattr(Plane, "_watching", lambda self: [])


def reason_to_stop_forgotten_at_a_restart(patch: Patch) -> None:
    take_over = Runs.take_over

    def forget(self: Any, turn: Turn, task: Task, worker: Worker) -> None:
        take_over(self, turn, task, worker)
        if not task.cancel_requested:
            self.of_task(task.id).stop = None

    patch.setattr(Runs, "take_over", forget)


def watch_begins_anew(patch: Patch) -> None:
    """A watcher that comes back begins at the beginning."""
    patch.setattr(Watcher, "next_seq", property(lambda self: self.from_seq))


def message_taken_each_time_that_it_comes(patch: Patch) -> None:
    take = Talk.take

    def forgetful(self: Any, order: ContinueRun) -> RunMessage | None:
        self._taken.clear()
        return take(self, order)

    patch.setattr(Talk, "take", forgetful)


def taken_messages_forgotten(patch: Patch) -> None:
    """Who asks once more gets a follow-up for what the run has heard."""
    patch.setattr("taskrun.domain.control_plane.follow_ups.known_as", lambda *_: "")


def deaf_agent_is_not_told_of(patch: Patch) -> None:
    patch.setattr(Talk, "unheard", lambda self: ())


def message_dropped_by_the_worker(patch: Patch) -> None:
    """It is confirmed, and the agent never hears it."""
    patch.setattr(Talk, "next_turn", lambda self, report: self._waiting.clear())


def told_usage_is_not_listened_to(patch: Patch) -> None:
    """Only a report of the end says what a run consumed."""
    patch.setattr("taskrun.domain.control_plane.active_run.told_in", lambda metadata: None)


def usage_of_one_turn_only(patch: Patch) -> None:
    patch.setattr(Talk, "summed", lambda self, report: report)


def stopping_is_not_said(patch: Patch) -> None:
    """A worker that stops a run says nothing before its end."""
    patch.setattr(RunSlot, "tell_stopping", lambda self, now: None)


def told_to_stop_is_taken_for_stopped(patch: Patch) -> None:
    """Nothing tells an end that was not confirmed from one that was."""
    patch.setattr("taskrun.domain.control_plane.runs._UNCONFIRMED", "{0}")


BUGS: tuple[Bug, ...] = (
    Bug(acknowledged_before_the_commit, ("was acknowledged before it was stored",)),
    Bug(told_as_stored_before_it_is, ("without need",)),
    Bug(bugs.no_fencing, ("and changed",)),
    Bug(bugs.output_not_deduplicated, ("came twice",)),
    Bug(bugs.everything_is_said_again, ("and its agent said",)),
    Bug(bugs.cleaned_up_by_worker, ("without need", "at once")),
    Bug(bugs.no_self_stop, ("at once",)),
    Bug(bugs.the_end_overtakes_the_output, ("cut short",)),
    Bug(bugs.resumed_from_the_wrong_number, ("without need",)),
    Bug(bugs.handed_out_twice, ("knows nothing of it",)),
    Bug(bugs.handed_out_again_at_a_restart, ("without need", "at once")),
    Bug(bugs.running_tasks_forgotten_at_a_restart, ("and nobody follows their runs",)),
    Bug(reason_to_stop_forgotten_at_a_restart, ("nobody asked for it",)),
    Bug(bugs.cancel_forgotten, ("was to be cancelled",)),
    Bug(bugs.cancel_not_stored, ("was to be cancelled",)),
    Bug(bugs.tried_again_after_success, ("tried too often",)),
    Bug(bugs.completed_without_its_agent, ("its agent never was",)),
    Bug(bugs.key_forgotten, ("one key made",)),
    Bug(half_a_batch_is_kept, ("the story of",)),
    Bug(watcher_skips, ("a watcher",)),
    Bug(bell_forgotten_when_a_commit_fails, ("a watcher",)),
    Bug(watch_begins_anew, ("a watcher",)),
    Bug(message_taken_each_time_that_it_comes, ("said more than once",)),
    Bug(taken_messages_forgotten, ("said more than once",)),
    Bug(deaf_agent_is_not_told_of, ("nothing says so",)),
    Bug(message_dropped_by_the_worker, ("nothing says so",)),
    Bug(stopping_is_not_said, ("was given up without need",)),
    Bug(told_to_stop_is_taken_for_stopped, ("and goes on",)),
    Bug(told_usage_is_not_listened_to, ("and told of",)),
    Bug(usage_of_one_turn_only, ("and told of",)),
)
