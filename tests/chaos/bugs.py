"""Bugs, each planted by a patch of the product, and each of a kind that somebody has shipped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from taskrun.domain.batch import Recovery
from taskrun.domain.control_plane.active_run import ActiveRun, lost
from taskrun.domain.control_plane.attendance import Attendance
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.creating import Creating
from taskrun.domain.control_plane.hearing import Hearing
from taskrun.domain.control_plane.reunion import Reunion
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.daemon.lane import Lane
from taskrun.domain.daemon.outbox import Outbox
from taskrun.domain.daemon.session import DaemonCore
from taskrun.domain.daemon.slots import RunSlots
from taskrun.domain.machines.task import TaskEvent
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import OutputSegment, Run, StoryEntry, Task
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.daemon_sink import RunSink
from taskrun.engine.watching import Watchers
from tests.chaos import scenarios
from tests.chaos.scenarios import Scenario

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Bug:
    """What is wrong, where it shows, and as what the oracle has to find it."""

    plant: Any
    scenario: Scenario
    kind: str
    #: A part of what the finding says.
    says: str


def acknowledged_before_the_commit(patch: Patch) -> None:
    async def work(self: Any) -> None:
        answers: Sequence[Any] = ()
        first = True
        while answers or self._inbox or first:
            first = False
            turn = self._core.handle([*answers, *self._inbox.take()], self._clock.now())
            self._speaker.speak(turn)
            answers = await self._store.commit(turn.batch) if turn.batch else ()
            self._alarm.set(self._core.next_deadline())

    patch.setattr(ControlPlane, "_work", work)


def told_as_stored_before_it_is(patch: Patch) -> None:
    async def work(self: Any) -> None:
        answers: Sequence[Any] = ()
        first = True
        while answers or self._inbox or first:
            first = False
            for worker in self._core._fleet.all():
                worker.untold_messages = 1_000
            turn = self._core.handle([*answers, *self._inbox.take()], self._clock.now())
            for session, ack in turn.acknowledgements():
                self._speaker._send(session, [ack])
            answers = await self._store.commit(turn.batch) if turn.batch else ()
            self._speaker.speak(turn)
            self._alarm.set(self._core.next_deadline())

    patch.setattr(ControlPlane, "_work", work)


def no_fencing(patch: Patch) -> None:
    """A run that is over takes reports as if it were not."""
    over: dict[str, ActiveRun] = {}
    end, of_run = Runs.end, Runs.of_run

    def remember(self: Any, turn: Turn, active: ActiveRun, report: RunReport, *, free: bool = True) -> None:
        run_id = active.run.id
        if run_id not in self._by_run:
            self._by_run[run_id] = self._by_task[active.task.id] = active
        over[run_id] = active
        end(self, turn, active, report, free=free)
        active.task = replace(turn.batch.tasks[active.task.id], status=TaskStatus.RUNNING)

    def of_any_run(self: Any, run_id: str) -> ActiveRun | None:
        return of_run(self, run_id) or over.get(run_id)

    patch.setattr(Runs, "end", remember)
    patch.setattr(Runs, "of_run", of_any_run)


def output_not_deduplicated(patch: Patch) -> None:
    def output(self: Any, turn: Turn, worker: Worker, segment: OutputSegment) -> None:
        active = self._owned(turn, worker, segment.run_id, "output")
        if active is not None:
            active.next_seq = max(active.next_seq, segment.first_seq + len(segment.contents))
            self._keep(turn, active, segment)

    patch.setattr(Hearing, "output", output)


def cleaned_up_by_worker(patch: Patch) -> None:
    """The end of a stream takes the worker along, on whatever stream it is."""
    workers: dict[int, str] = {}
    connect = Attendance.connect

    def remember(self: Any, turn: Turn, request: Any) -> None:
        workers[request.session] = request.worker_id
        connect(self, turn, request)

    def gone(self: Any, turn: Turn, gone: Any) -> None:
        worker = self._fleet.of_id(workers[gone.session])
        if worker is not None:
            if self._fleet.is_here(worker):
                self._disconnect(turn, worker)
            if worker.session != gone.session:
                self._lose(turn, worker)

    patch.setattr(Attendance, "connect", remember)
    patch.setattr(Attendance, "gone", gone)


def no_self_stop(patch: Patch) -> None:
    patch.setattr(DaemonCore, "_let_go", lambda self, step: None)


def output_dropped_when_full(patch: Patch) -> None:
    put = RunSink._put

    async def drop(self: Any, chunk: str) -> None:
        if not self._outbox.full:
            await put(self, chunk)

    patch.setattr(RunSink, "_put", drop)


def the_end_overtakes_the_output(patch: Patch) -> None:
    take = Outbox.take

    def reports_first(self: Outbox) -> Sequence[Any]:
        messages = take(self)
        return sorted(messages, key=lambda message: not isinstance(message, RunReport))

    patch.setattr(Outbox, "take", reports_first)
    patch.setattr(Hearing, "_is_next", lambda self, turn, active, seq: True)


def resumed_from_the_wrong_number(patch: Patch) -> None:
    directive = Reunion._directive

    def too_far(self: Any, worker: Worker, run_id: str) -> Any:
        order = directive(self, worker, run_id)
        return replace(order, from_seq=order.from_seq + 2)

    patch.setattr(Reunion, "_directive", too_far)


def everything_is_said_again(patch: Patch) -> None:
    """A worker that comes back begins with its first word, under new numbers."""
    go_on = Outbox.go_on

    def from_the_start(self: Any, run_id: str, from_seq: int) -> bool:
        lane: Lane = self._lanes[run_id]
        there = go_on(self, run_id, from_seq)
        lane.text("0:0:..........\n")
        return there

    patch.setattr(Outbox, "go_on", from_the_start)


def handed_out_twice(patch: Patch) -> None:
    assign = Runs.assign

    def twice(self: Any, turn: Turn, task: Task, session: int, waited_ms: int) -> Task:
        task = assign(self, turn, task, session, waited_ms)
        order = turn.sends[session][-1]
        turn.send(session, replace(order, run_id=self._new_id()))
        return task

    patch.setattr(Runs, "assign", twice)


def handed_out_again_at_a_restart(patch: Patch) -> None:
    """The control plane takes what was running for waiting, and the worker does not stop what it has."""

    def give_up(self: Any, turn: Turn, task: Task, why: str) -> None:
        self._runs.give_up(turn, task, lost(task.runs[-1].id, why))

    patch.setattr(Reunion, "recover", give_up)
    patch.setattr(RunSlots, "_let_go", lambda self, step, run_id, why: self._outbox.forget(run_id))


def running_tasks_forgotten_at_a_restart(patch: Patch) -> None:
    recover = ControlPlaneCore.recover

    def forget(self: Any, recovery: Recovery, now: Any) -> Turn:
        return recover(self, replace(recovery, active=()), now)

    patch.setattr(ControlPlaneCore, "recover", forget)


def cancel_forgotten(patch: Patch) -> None:
    patch.setattr(Runs, "cancel", lambda self, turn, active: replace(active.task, cancel_requested=True))


def cancel_not_stored(patch: Patch) -> None:
    """The worker is told, and a control plane that begins anew knows nothing of it."""

    def cancel(self: Any, turn: Turn, active: ActiveRun) -> Task:
        self._stop(turn, active, FailureKind.CANCELLED, "cancelled")
        return replace(active.task, cancel_requested=True)

    patch.setattr(Runs, "cancel", cancel)


def tried_again_after_success(patch: Patch) -> None:
    settle = Runs._settle

    def again(self: Any, turn: Turn, task: Task, run: Run) -> None:
        if run.status is RunStatus.COMPLETED and len(task.runs) == 1:
            task = self._change(turn, task, TaskEvent.REQUEUED, run)
            self.offer(turn, task, self._scheduler.place(task.requirement), waited_ms=0)
        else:
            settle(self, turn, task, run)

    patch.setattr(Runs, "_settle", again)


def completed_without_its_agent(patch: Patch) -> None:
    """To start is taken for to have ended."""
    report = Hearing.report

    def hasty(self: Any, turn: Turn, worker: Worker, said: RunReport) -> None:
        report(self, turn, worker, said)
        active = self._runs.of_run(said.run_id)
        if active is not None and said.status is RunStatus.RUNNING:
            self._runs.end(turn, active, replace(said, status=RunStatus.COMPLETED))

    patch.setattr(Hearing, "report", hasty)


def key_forgotten(patch: Patch) -> None:
    found = Creating.key_found
    patch.setattr(Creating, "key_found", lambda self, turn, answer: found(self, turn, replace(answer, task=None)))


def watcher_skips(patch: Patch) -> None:
    watch = Watchers.watch

    async def gappy(self: Any, task_id: str, from_seq: int) -> AsyncIterator[Sequence[StoryEntry]]:
        async for entries in watch(self, task_id, from_seq):
            kept = [entry for entry in entries if not isinstance(entry.body, OutputSegment) or entry.seq % 3]
            if kept:
                yield kept

    patch.setattr(Watchers, "watch", gappy)


BUGS: tuple[Bug, ...] = (
    Bug(acknowledged_before_the_commit, scenarios.a_crash_before_the_commit, "lost", "acknowledged"),
    Bug(told_as_stored_before_it_is, scenarios.a_crash_before_output_is_stored, "unexpected", "restarted without need"),
    Bug(no_fencing, scenarios.a_cancel_that_is_not_heard, "doubled", "ends"),
    Bug(output_not_deduplicated, scenarios.a_network_that_doubles, "doubled", "in place of"),
    Bug(everything_is_said_again, scenarios.a_cut, "doubled", "in place of"),
    Bug(cleaned_up_by_worker, scenarios.an_old_stream_that_ends_late, "unexpected", "restarted without need"),
    Bug(no_self_stop, scenarios.an_island, "doubled", "executed at the same time"),
    Bug(output_dropped_when_full, scenarios.a_short_island, "corrupted", "in place of"),
    Bug(the_end_overtakes_the_output, scenarios.a_fast_talker, "corrupted", "too early"),
    Bug(resumed_from_the_wrong_number, scenarios.a_cut, "unexpected", "restarted without need"),
    Bug(handed_out_twice, scenarios.nothing, "doubled", "knows nothing"),
    Bug(handed_out_again_at_a_restart, scenarios.a_crash_in_a_run, "doubled", "executed at the same time"),
    Bug(running_tasks_forgotten_at_a_restart, scenarios.a_crash_in_a_run, "lost", "no end"),
    Bug(cancel_forgotten, scenarios.a_cancel, "unexpected", "its cancel was acknowledged"),
    Bug(cancel_not_stored, scenarios.a_crash_after_a_cancel, "unexpected", "its cancel was acknowledged"),
    Bug(tried_again_after_success, scenarios.nothing, "doubled", "tried again"),
    Bug(completed_without_its_agent, scenarios.nothing, "unexpected", "never was"),
    Bug(key_forgotten, scenarios.a_crash_after_the_commit, "doubled", "already"),
    Bug(watcher_skips, scenarios.nothing, "corrupted", "gaps"),
)
