"""A task, followed: its output as it comes, and remarks beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rich_click as click

from taskrun.adapters.grpc.client import Client
from taskrun.apps.cli import showing, usage_words
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.event_remarks import EventRemarks
from taskrun.apps.cli.json_form import entry_form
from taskrun.apps.cli.paper import Paper
from taskrun.apps.cli.values import TaskId
from taskrun.apps.exits import FAILED, INTERRUPTED, OK
from taskrun.apps.process import ctrl_c_raises, ctrl_c_waits
from taskrun.domain.errors import Unavailable
from taskrun.domain.records import OutputSegment, Run, RunEvent, RunMessage, StoryEntry, TaskChange
from taskrun.domain.status import ChatRole, RunEventType, TaskStatus

Tell = Callable[[Sequence[StoryEntry]], None]


@click.command("watch-task")
@click.argument("task_id", metavar="ID", type=TaskId())
@click.option("--from-seq", metavar="N", type=click.IntRange(min=0), default=0, help="Begin at this step of its story.")
@click.option("--thoughts", is_flag=True, help="Show what the agent thinks, not only that it does.")
@client_command
def watch_task(connection: Connection, task_id: str, from_seq: int, thoughts: bool) -> int:
    """Shows a task's output, from its beginning and then as it comes, until the task has ended.

    The output alone goes to standard output; the tools that are used, and all else, to standard error.

    Ctrl-C ends the watching only, not the task. Exits with 0 if the task completed, 1 if it failed or was cancelled.
    """
    with connection.open() as client:
        return follow(connection, client, task_id, from_seq, thoughts)


def follow(connection: Connection, client: Client, task_id: str, from_seq: int, thoughts: bool) -> int:
    """Shows the task's story to its end and returns the exit code that the end deserves."""
    why = connection.command("explain", task_id)
    tell: Tell = _tell_json if connection.json else Teller(thoughts, why).tell
    seq, status = from_seq, None
    try:
        with ctrl_c_raises():
            for entries in client.watch(task_id, from_seq):
                last = entries[-1]
                # What is shown and not counted would be shown again.
                with ctrl_c_waits():
                    tell(entries)
                    seq = last.next_seq
                if last.is_end and isinstance(last.body, TaskChange):
                    status = last.body.status
            if status is None:
                # Nothing was left to see: the watch began behind the end.
                status = client.get(task_id).status
                showing.note(f"· {status.value}", showing.COLOURS[status.value])
    except KeyboardInterrupt:
        say_how_to_come_back(connection, task_id, seq)
        return INTERRUPTED
    except Unavailable:
        if seq > from_seq:
            say_how_to_come_back(connection, task_id, seq)
        raise
    return OK if status is TaskStatus.COMPLETED else FAILED


def say_how_to_come_back(connection: Connection, task_id: str, seq: int) -> None:
    """On a line of its own: the terminal has shown part of one, or a ^C."""
    click.echo(err=True)
    way_back = connection.command("watch-task", task_id, "--from-seq", str(seq))
    showing.note(f"The task goes on. Come back to it: {way_back}", "yellow")


def _tell_json(entries: Sequence[StoryEntry]) -> None:
    for entry in entries:
        showing.as_json_line(entry_form(entry))


class Teller:
    """Tells a story to people."""

    def __init__(self, thoughts: bool = False, why: str = "") -> None:
        """`why` is what to type to hear why the task waits."""
        self._paper = Paper()
        self._remark = self._paper.remark
        self._why = f"; {why} says why" if why else ""
        self._events = EventRemarks(self._paper, thoughts=thoughts)
        #: Nothing is known yet of what came after the step that is told.
        self._newest = False
        self._steps: dict[type, Callable[[Any], None]] = {
            TaskChange: self._change,
            OutputSegment: self._output,
            RunMessage: self._message,
        }

    def tell(self, entries: Sequence[StoryEntry]) -> None:
        """Shows these steps now."""
        for entry in entries:
            self._newest = entry is entries[-1]
            self._tell(entry)
        self._paper.flush()

    def _tell(self, entry: StoryEntry) -> None:
        body = entry.body
        if not (isinstance(body, RunEvent) and body.type is RunEventType.THOUGHT):
            self._events.pause(entry.at_ms)
        if isinstance(body, RunEvent):
            self._events.tell(body, entry.at_ms)
        else:
            self._steps[type(body)](body)

    def _output(self, body: OutputSegment) -> None:
        self._paper.output("".join(body.contents))
        if body.truncated:
            self._remark("the output was too long: the rest of it was not kept", "yellow")

    def _message(self, body: RunMessage) -> None:
        """What somebody said to the agent. What the agent said is its output."""
        if body.role is not ChatRole.ASSISTANT:
            first, *more = body.content.strip().split("\n")
            self._remark(f"{body.role.value.lower()}: {first}", "yellow", "\n".join(more))

    def _change(self, body: TaskChange) -> None:
        run = body.run
        if body.status.is_terminal:
            self._remark(_end(body), showing.COLOURS[body.status.value], _last_words(run))
        elif body.status is TaskStatus.RUNNING and body.cancel_requested:
            self._remark("cancel requested")
        elif body.status is TaskStatus.RUNNING and run and not run.started_at_ms:
            self._remark(f"run {run.attempt} on {run.worker_id}")
        elif body.status is TaskStatus.PENDING and run:
            waits = "; waiting for another" if self._newest else ""
            self._remark(f"run {run.attempt} failed{_why(run)}{waits}", below=_last_words(run))
        elif body.status is TaskStatus.PENDING and self._newest:
            self._remark(f"waiting for a worker{self._why}")


def _end(body: TaskChange) -> str:
    """The last remark: how it went, how long it took, with what, and what that cost."""
    status, run = body.status, body.run
    told = [status.value + (_why(run or body) if status is TaskStatus.FAILED else "")]
    if run and run.started_at_ms and run.finished_at_ms:
        told.append(showing.span(run.finished_at_ms - run.started_at_ms))
    if run and run.backend and run.backend.model_name:
        told.append(run.backend.model_name)
    if run and run.usage:
        told.append(usage_words.in_one_line(run.usage))
    return " · ".join(told)


def _why(failed: Run | TaskChange) -> str:
    """The kind of failure, and what was said of it if that is one line."""
    if failed.failure is None:
        return ""
    error = failed.error.strip()
    return f" ({failed.failure.value}): {error}" if error and "\n" not in error else f" ({failed.failure.value})"


def _last_words(run: Run | None) -> str:
    """What was said of a failure in more than one line."""
    return run.error if run and run.failure and "\n" in run.error.strip() else ""
