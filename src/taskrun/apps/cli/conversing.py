"""Conversations, shown: who said what, in a task and in those that it goes on with."""

from __future__ import annotations

from collections.abc import Iterator

import rich_click as click

from taskrun.adapters.grpc.client import Client
from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection
from taskrun.apps.cli.json_form import said_form
from taskrun.domain.errors import NotFound
from taskrun.domain.history import MAX_TASKS, Said, said_in
from taskrun.domain.records import StoryEntry, Task

_COLOURS = {"USER": "cyan", "ASSISTANT": "green", "SYSTEM": "yellow"}


def show_conversation(connection: Connection, client: Client, task: Task) -> None:
    """Shows it up to now, oldest first."""
    tasks = list(_back_from(client, task))
    said = [each for task in reversed(tasks) for each in said_in(task, _story(client, task))]
    if connection.json:
        showing.as_json({"messages": [said_form(each) for each in said]})
        return
    last = ""
    for each in said:
        if each.task_id != last:
            last = each.task_id
            click.echo(f"Task {last}")
        _show(each)
    continues = tasks[-1].spec.continues
    if continues:
        showing.note(f"What came before, in task {continues.task_id}, is not shown: it is gone, or too long ago.")


def _show(said: Said) -> None:
    role = said.role.value
    click.secho(f"  {role}", fg=_COLOURS[role], nl=False)
    click.echo(f"  {showing.local_time(said.at_ms)}")
    click.echo(showing.indented(said.content), nl=False)


def _back_from(client: Client, task: Task) -> Iterator[Task]:
    """The task, and those before it as far as they are kept, newest first."""
    yield task
    for _ in range(MAX_TASKS - 1):
        if task.spec.continues is None:
            return
        try:
            task = client.get(task.spec.continues.task_id)
        except NotFound:
            return
        yield task


def _story(client: Client, task: Task) -> Iterator[StoryEntry]:
    """What there is of the task's story. One that runs on is not waited for."""
    for entries in client.watch(task.id):
        yield from entries
        if entries[-1].next_seq >= task.next_seq:
            return
