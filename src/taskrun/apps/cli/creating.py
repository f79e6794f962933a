"""A new task."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import rich_click as click

from taskrun.apps.cli import showing, values
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.json_form import task_form
from taskrun.apps.cli.values import Duration
from taskrun.apps.cli.watching import follow, say_how_to_come_back
from taskrun.apps.exits import INTERRUPTED, OK
from taskrun.apps.process import OutputFailed, ctrl_c_waits
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, TaskRunError
from taskrun.domain.limits import MAX_INPUT_BYTES, checked_spec
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.retry import RETRIABLE
from taskrun.domain.status import FailureKind


@click.command("create-task")
@click.option("--agent", metavar="NAME", required=True, help="Who shall do it.")
@click.option("--input", "text", metavar="JSON|TEXT", help="What to do. Text that is no JSON is sent as a JSON string.")
@click.option("--input-file", "file", metavar="FILE", help="Read the input from a file; - is standard input.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label to find it by; repeatable.")
@click.option("--timeout", "timeout_ms", type=Duration(), default=0, help="How long a run may take: 90s, 10m ...")
@click.option(
    "--silence-timeout", "silence_timeout_ms", type=Duration(), default=0, help="How long a run may say nothing."
)
@click.option(
    "--queue-timeout", "queue_timeout_ms", type=Duration(), default=0, help="How long it may wait for a worker."
)
@click.option("--priority", metavar="NUMBER", type=int, default=0, help="Higher goes first, -1000 to 1000.")
@click.option("--max-attempts", metavar="NUMBER", type=int, default=3, show_default=True, help="Runs in all.")
@click.option(
    "--retry-on",
    type=click.Choice([kind.value for kind in RETRIABLE]),
    metavar="KIND",
    multiple=True,
    help="Try again after this failure too (agent_error, timeout ...); repeatable. A lost worker always is a reason.",
)
@click.option("--selector", metavar="KEY=VALUE", multiple=True, help="A label that the worker must have; repeatable.")
@click.option("--idempotency-key", metavar="KEY", default="", help="The same key makes one task only, for 24 h.")
@click.option("--watch", is_flag=True, help="Show its output as it comes, until it has ended.")
@click.option("--thoughts", is_flag=True, help="With --watch: show what the agent thinks, not only that it does.")
@client_command
def create_task(
    connection: Connection,
    agent: str,
    text: str | None,
    file: str | None,
    labels: Sequence[str],
    timeout_ms: int,
    silence_timeout_ms: int,
    queue_timeout_ms: int,
    priority: int,
    max_attempts: int,
    retry_on: Sequence[str],
    selector: Sequence[str],
    idempotency_key: str,
    watch: bool,
    thoughts: bool,
) -> int:
    """Creates a task and prints its id, or follows it to its end with --watch."""
    if (text is None) == (file is None):
        raise click.UsageError("Give the task its input: either --input or --input-file.")
    spec = checked_spec(
        TaskSpec(
            agent=agent,
            input_json=as_input(read(file) if file is not None else text or ""),
            labels=values.labels("--label", labels),
            timeout_ms=timeout_ms,
            silence_timeout_ms=silence_timeout_ms,
            queue_timeout_ms=queue_timeout_ms,
            priority=priority,
            max_attempts=max_attempts,
            retry_on=frozenset(map(FailureKind, retry_on)),
            selector=tuple(values.labels("--selector", selector).items()),
            idempotency_key=idempotency_key,
        )
    )
    with connection.open() as client:
        made = None
        try:
            # Whoever interrupts it wants to know whether there is a task, and which.
            with ctrl_c_waits():
                [made] = client.create([spec])
                if isinstance(made, TaskRunError):
                    raise made
                tell(connection, made, watch)
        except KeyboardInterrupt:
            if isinstance(made, Task):
                say_how_to_come_back(connection, made.id, 0)
            else:
                showing.note("The control plane has not answered: there may be a task all the same.", "yellow")
            return INTERRUPTED
        return follow(connection, client, made.id, 0, thoughts) if watch else OK


@click.command("release-task")
@click.argument("task_id", metavar="ID")
@client_command
def release_task(connection: Connection, task_id: str) -> None:
    """Makes a task that was found to be poison once more, as a new task, and prints its id.

    A task is poison when workers were lost soon after they had begun with it, more than once. What has ended stays as
    it is: the new task has the same agent, input, labels and limits, and history of its own.
    """
    with connection.open() as client:
        old = client.get(task_id)
        if not old.runs or old.runs[-1].failure is not FailureKind.POISON:
            raise FailedPrecondition(f"Task {old.id} is {old.status.value}, and not for being poison.")
        if old.spec.continues:
            raise FailedPrecondition(f"Task {old.id} is a follow-up: continue task {old.spec.continues.task_id} again.")
        [task] = client.create([old.spec])
    if isinstance(task, TaskRunError):
        raise task
    tell(connection, task, watch=False)


def tell(connection: Connection, task: Task, watch: bool) -> None:
    """The id is the answer. Who watches wants it too, to come back: as the first line of JSON, or as a remark."""
    try:
        if connection.json and watch:
            showing.as_json_line({"task": task_form(task)})
        elif connection.json:
            showing.as_json(task_form(task))
        elif watch:
            showing.note(f"task {task.id}")
        else:
            click.echo(task.id)
            showing.note(f"Follow it: {connection.command('watch-task', task.id)}")
    except OutputFailed:
        # The task is there: its id must not be lost.
        showing.note(f"task {task.id}")
        raise


def as_input(text: str) -> str:
    """The text itself if it is JSON, otherwise a JSON string that holds it."""
    try:
        # Numbers are looked at as text: Python refuses those of more than 4,300 digits, JSON does not.
        json.loads(text, parse_constant=_no_json, parse_int=str, parse_float=str)
    except RecursionError:
        # JSON, but deeper than is let in: that is said by whoever checks it.
        return text
    except ValueError:
        return json.dumps(text, ensure_ascii=False)
    return text


def _no_json(constant: str) -> NoReturn:
    """NaN and Infinity, which Python's decoder would let pass."""
    raise ValueError(constant)


def read(file: str) -> str:
    """The text in a file, or what comes on standard input for "-". Raises `InvalidArgument`."""
    if file == "-" and sys.stdin is None:
        raise InvalidArgument("Standard input is closed: there is nothing to read.")
    try:
        data = _upto(sys.stdin.buffer) if file == "-" else _open(file)
    except OSError as error:
        raise InvalidArgument(f"{file} cannot be read: {error.strerror or error}.") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{'Standard input' if file == '-' else file} is no UTF-8 text.") from error


def _open(file: str) -> bytes:
    with Path(file).open("rb") as stream:
        return _upto(stream)


def _upto(stream: Any) -> bytes:
    """At most one byte more than is allowed: the check that follows finds it too long."""
    data = stream.read(MAX_INPUT_BYTES + 1)
    assert isinstance(data, bytes)
    return data
