"""Reads a history and says what was lost, doubled, corrupted, or should not have come about.

It knows what TaskRun promises and nothing of how that is kept: only what clients were told, what agents say that they
did, what was done to the processes, and what the API shows in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.counters import count
from chaos.history import Event
from chaos.record import Promises, Record

#: Characters that are kept of a run at least, before its output is cut.
LIMIT = 60 * 1024 * 1024
#: Workers that a task has to lose soon after it began, before it is taken for poison.
_POISON = 2
KINDS = ("lost", "doubled", "corrupted", "unexpected")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `kind` is one of `KINDS`."""

    kind: str
    #: The task, or the run.
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.what}"


@dataclass(frozen=True)
class Verdict:
    """What the oracle says of one history."""

    findings: list[Finding]
    counters: Mapping[str, int]
    #: Why the history proves nothing; empty if it does.
    void: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.findings and not self.void

    def of(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]


def judge(events: Sequence[Event], promises: Promises, planned: Mapping[str, int] | None = None) -> Verdict:
    """The verdict. `planned` says how often each counter has to have gone up at least."""
    record = Record(events, promises)
    counters = count(record)
    findings = [*_promises_to_clients(record), *_watchers(record)]
    for final in record.finals.values():
        findings += [*_end(record, final), *_output(record, final), *_attempts(record, final)]
    findings += [
        Finding("unexpected", event["run"], f"processes are left: {', '.join(event['processes'])}")
        for event in record.leftovers
    ]
    void = [
        f"{what}: {counters.get(what, 0)} of {least}"
        for what, least in (planned or {}).items()
        if counters.get(what, 0) < least
    ]
    return Verdict(findings, counters, void)


# What clients were told.


def _promises_to_clients(record: Record) -> Iterator[Finding]:
    for event in record.acknowledged:
        if event["task"] not in record.finals:
            yield Finding("lost", event["task"], "it was acknowledged, and nobody knows it")
    for number in sorted(record.asked.keys() - record.number_of.values()):
        yield Finding("unexpected", f"number {number}", "it was asked for, and nobody ever answered")
    made: dict[int, str] = {}
    for task, final in record.finals.items():
        number = final["number"]
        if number in made:
            yield Finding("doubled", task, f"number {number} is task {made[number]} already")
        made[number] = task


def _watchers(record: Record) -> Iterator[Finding]:
    for watch in record.watched:
        task = watch["task"]
        final = record.finals.get(task)
        if final is None:
            continue
        said = dict(map(tuple, final["atoms"]))
        seen = [seq for seq, _ in watch["atoms"]]
        if seen != list(range(len(seen))):
            yield Finding("corrupted", task, "a watcher's entries have gaps, or are out of order")
        elif any(said.get(seq) != checksum for seq, checksum in watch["atoms"]):
            yield Finding("corrupted", task, "a watcher read what the story does not say")
        if watch["ends"] and watch["ends"] != final["ends"]:
            yield Finding("doubled", task, f"a watcher saw it end {watch['ends']}, and it ended {final['ends']}")


# What the final state shows.


def _end(record: Record, final: Event) -> Iterator[Finding]:
    task, status, ends = final["task"], final["status"], final["ends"]
    if status not in {"COMPLETED", "FAILED", "CANCELLED"}:
        yield Finding("lost", task, f"it has no end: it is {status}")
        return
    if len(ends) > 1:
        yield Finding("doubled", task, f"it has {len(ends)} ends: {', '.join(ends)}")
    elif ends != [status]:
        yield Finding("lost", task, f"it is {status}, and its story ends {ends}")
    elif not final["last_is_end"]:
        yield Finding("corrupted", task, "its story goes on after its end")
    if [seq for seq, _ in final["atoms"]] != list(range(len(final["atoms"]))):
        yield Finding("corrupted", task, "its story has gaps, or is out of order")
    if task in record.cancels_acknowledged and status != "CANCELLED":
        yield Finding("unexpected", task, f"its cancel was acknowledged, and it is {status}")
    if status == "CANCELLED" and task not in record.cancels_asked:
        yield Finding("unexpected", task, "it was cancelled, and nobody asked for it")
    if status == "FAILED" and not _may_fail(record, final):
        failure = final["runs"][-1]["failure"] if final["runs"] else None
        yield Finding("unexpected", task, f"it failed: {failure}")


def _may_fail(record: Record, final: Event) -> bool:
    """Whether its attempts were used up, or it was taken for poison, each time by a fault."""
    asked, runs = record.asked.get(final["number"]), final["runs"]
    if asked is None or not runs:
        return False
    enough = _POISON if runs[-1]["failure"] == "poison" else asked["attempts"]
    return len(runs) >= enough and all(_explained(record, run) for run in runs)


def _output(record: Record, final: Event) -> Iterator[Finding]:
    speech = record.speech(final)
    if speech is None:
        return
    for run in final["runs"]:
        if run["stray"] is not None:
            at, said, expected = run["stray"]
            kind = "doubled" if _said_before(said, expected) else "corrupted"
            yield Finding(kind, run["run"], f"at {at} it says {said!r} in place of {expected!r}")
        elif run["status"] == "COMPLETED" and run["digest"] != speech.digest() and not run["truncated"]:
            yield Finding("corrupted", run["run"], f"its end came after {run['chars']} characters, too early")
        if run["truncated"] and run["chars"] < LIMIT:
            yield Finding("corrupted", run["run"], f"it is cut after {run['chars']} characters, below the limit")


def _said_before(said: str, expected: str) -> bool:
    """Whether a line that had been said already was said again."""
    try:
        return bool(said) and (not expected or _line(said) < _line(expected))
    except ValueError:
        return False


def _line(text: str) -> int:
    return int(text.split(":")[1])


def _attempts(record: Record, final: Event) -> Iterator[Finding]:
    task, runs = final["task"], final["runs"]
    for run in runs[:-1]:
        if run["status"] == "COMPLETED":
            yield Finding("doubled", task, f"run {run['run']} had completed it, and it was tried again")
        elif run["failure"] != "rejected" and not _explained(record, run):
            yield Finding("unexpected", task, f"its agent was restarted without need: {run['failure']}")
    if runs and runs[-1]["status"] == "COMPLETED" and not _was_done(record, runs[-1]["run"]):
        yield Finding("unexpected", task, "it is said to be completed, and its agent never was")
    known = {run["run"] for run in runs}
    for run_id in {event["run"] for event in record.began_of_task.get(task, ())}:
        if len(record.began_of_run[run_id]) > 1:
            yield Finding("doubled", run_id, "two agents began the same run")
        if run_id not in known:
            yield Finding("doubled", task, f"an agent executed run {run_id}, of which the task knows nothing")
    yield from _at_once(record, task)


def _explained(record: Record, run: Mapping[str, Any]) -> bool:
    """Whether a fault is enough of a reason for the run's failure."""
    if run["failure"] not in {"worker_lost", "poison"}:
        return False
    span = record.run_span(run)
    return record.died(run["worker"], span) or record.longest_outage(run["worker"], span) >= record.promises.resume


def _was_done(record: Record, run_id: str) -> bool:
    return any(event["how"] == "done" for event in record.ended_of_run.get(run_id, ()))


def _at_once(record: Record, task: str) -> Iterator[Finding]:
    """Two agents of one task at the same time, but for a worker that could not stop its own."""
    executions = sorted(record.executions(task), key=lambda execution: execution[2].begin)
    for index, (run, worker, span) in enumerate(executions):
        for other, _, later in executions[index + 1 :]:
            if run != other and span.meets(later, by=record.promises.orphan) and not record.was_frozen(worker, later):
                yield Finding("doubled", task, f"runs {run} and {other} were executed at the same time")
