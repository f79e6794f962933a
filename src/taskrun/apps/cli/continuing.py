"""Something more for the agent of a task."""

from __future__ import annotations

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.creating import read, tell
from taskrun.apps.cli.values import TaskId
from taskrun.apps.cli.watching import follow
from taskrun.apps.exits import OK
from taskrun.domain.explanation import Explanation
from taskrun.domain.limits import check_message
from taskrun.domain.status import TaskStatus


@click.command("continue-task")
@click.argument("task_id", metavar="ID", type=TaskId())
@click.argument("message")
@click.option("--fork", is_flag=True, help="Go on with a copy of the conversation, and leave it as it was.")
@click.option("--idempotency-key", metavar="KEY", default="", help="The same key says it once only, for 24 h.")
@click.option("--watch", is_flag=True, help="Show the answer as it comes, until the task has ended.")
@click.option("--thoughts", is_flag=True, help="With --watch: show what the agent thinks, not only that it does.")
@client_command
def continue_task(
    connection: Connection, task_id: str, message: str, fork: bool, idempotency_key: str, watch: bool, thoughts: bool
) -> int:
    """Says MESSAGE to the agent of a task, in the same conversation; - reads it from standard input.

    Prints the id of the task that will have the answer. If the task has ended that is a new one, which goes on with the
    agent's session on the worker that has it. If it runs it is the same, whose agent hears the message when its turn is
    over.
    """
    text = read("-") if message == "-" else message
    check_message(text)
    with connection.open() as client:
        task = client.continue_task(task_id, text, fork=fork, idempotency_key=idempotency_key)
        tell(connection, task, watch)
        if task.status is TaskStatus.PENDING and not connection.json:
            _say_why_it_waits(client.explain(task.id))
        # Of one that ran already the message is the last that its story tells.
        seq = task.next_seq - 1 if task.id == task_id else 0
        return follow(connection, client, task.id, seq, thoughts) if watch else OK


def _say_why_it_waits(told: Explanation) -> None:
    """Only the worker that has the session may take it: whoever asks is to know whether that one is away."""
    if told.status is TaskStatus.PENDING:
        showing.note(f"It waits: {told.summary}.")
