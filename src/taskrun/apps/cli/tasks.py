"""Tasks, looked at and cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import rich_click as click

from taskrun.adapters.grpc.client import Client
from taskrun.apps.cli import showing, usage_words, values
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.conversing import show_conversation
from taskrun.apps.cli.json_form import task_form
from taskrun.apps.cli.values import TaskId, Words, alternatives
from taskrun.domain.limits import MAX_PAGE
from taskrun.domain.records import Run, Task, TaskQuery, Usage
from taskrun.domain.status import TaskStatus

_STATUSES = [status.value for status in TaskStatus]


@click.command("get-task")
@click.argument("task_id", metavar="ID", type=TaskId())
@click.option("--history", is_flag=True, help="Show who said what instead, in this task and those that it continues.")
@client_command
def get_task(connection: Connection, task_id: str, history: bool) -> None:
    """Shows a task and its runs. Its output is shown by watch-task, during the runs and after them."""
    with connection.open() as client:
        task = client.get(task_id)
        if history:
            show_conversation(connection, client, task)
            return
    if connection.json:
        showing.as_json(task_form(task))
        return
    facts = list(_facts(task))
    width = 2 + max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name:<{width}}{showing.line(value)}")
    if task.runs:
        click.echo()
        showing.table(_RUN_HEADERS, [_run_row(run) for run in task.runs])
    for run in task.runs:
        if run.failure and "\n" in run.error.strip():
            click.echo(f"\nRun {run.attempt}, {run.failure.value}:\n{showing.indented(run.error)}", nl=False)


@click.command("list-tasks")
@click.option(
    "--status", type=Words(*_STATUSES), metavar="STATUS", help=f"Only tasks that are {alternatives(_STATUSES)}."
)
@click.option("--agent", metavar="NAME", default="", help="Only tasks for this agent.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Only tasks with this label; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show so many at most.")
@client_command
def list_tasks(connection: Connection, status: str | None, agent: str, labels: Sequence[str], limit: int) -> None:
    """Lists tasks, newest first."""
    query = TaskQuery(TaskStatus(status) if status else None, agent, values.labels("--label", labels), limit)
    with connection.open() as client:
        tasks = list(_found(client, query))
    if connection.json:
        showing.as_json({"tasks": [task_form(task) for task in tasks]})
        return
    showing.table(("ID", "STATUS", "AGENT", "AGE", "RUNS", "WORKER", "LABELS"), [_task_row(task) for task in tasks])
    if len(tasks) == limit:
        showing.note(f"These are the newest {limit}; --limit shows more.")


@click.command("cancel-task")
@click.argument("task_id", metavar="ID", type=TaskId())
@client_command
def cancel_task(connection: Connection, task_id: str) -> None:
    """Cancels a task. A waiting one ends at once; a running one when its agent has stopped."""
    with connection.open() as client:
        task = client.cancel(task_id)
    if connection.json:
        showing.as_json(task_form(task))
    elif task.status is TaskStatus.CANCELLED:
        click.echo(f"Task {task.id} is CANCELLED.")
    else:
        click.echo(f"Task {task.id} was told to stop; it is {task.status.value} until its agent has.")


def _found(client: Client, query: TaskQuery) -> Iterator[Task]:
    """As many as the query wants, in as many pages as that takes."""
    left, token = query.limit, ""
    while left:
        page = client.find(TaskQuery(query.status, query.agent, query.labels, min(left, MAX_PAGE), token))
        yield from page.tasks
        left -= len(page.tasks)
        token = page.next_page_token
        if not token:
            return


_RUN_HEADERS = ("RUN", "STATUS", "WORKER", "STARTED", "TOOK", "MODEL", "TOKENS", "COST", "SESSION", "ERROR")


def _task_row(task: Task) -> Sequence[str]:
    last = task.runs[-1].worker_id if task.runs else "-"
    status = task.status.value
    return (
        task.id,
        status,
        task.spec.agent,
        showing.age(task.created_at_ms),
        str(len(task.runs)),
        last,
        showing.pairs(task.spec.labels),
    )


def _run_row(run: Run) -> Sequence[str]:
    started = run.started_at_ms
    since = showing.local_time(started) if started else "-"
    took = showing.span(run.finished_at_ms - started) if started and run.finished_at_ms else "-"
    first, *more = run.error.strip().split("\n")
    error = f"{run.failure.value}: {first}{' ...' if more else ''}" if run.failure else "-"
    model = run.backend.model_name if run.backend else "-"
    begun = (f"{run.attempt}", run.status.value, run.worker_id, since, took)
    return *begun, model, *_usage_cells(run.usage), run.session_id or "-", error


def _usage_cells(usage: Usage | None) -> tuple[str, str]:
    return (usage_words.tokens(usage), usage_words.cost(usage)) if usage else ("-", "-")


def _facts(task: Task) -> Iterator[tuple[str, str]]:
    spec = task.spec
    yield "Task", task.id
    yield "Status", task.status.value + (" (cancel requested)" if task.cancel_requested else "")
    if task.failure:
        yield "Failure", f"{task.failure.value}: {task.error}"
    if spec.continues:
        yield "Continues", f"{spec.continues.task_id}{' with a copy of its session' if spec.continues.fork else ''}"
    yield "Agent", spec.agent
    yield "Input", spec.input_json if len(spec.input_json) <= 200 else f"{spec.input_json[:200]}..."
    yield "Created", f"{showing.moment(task.created_at_ms)} by {task.created_by}"
    yield "Finished", showing.moment(task.finished_at_ms)
    yield "Labels", showing.pairs(spec.labels)
    yield from usage_words.of_task(task)
    if spec.selector:
        yield "Workers", showing.pairs(dict(spec.selector))
    if spec.priority:
        yield "Priority", str(spec.priority)
    if spec.timeout_ms:
        yield "Timeout", showing.span(spec.timeout_ms)
    if spec.silence_timeout_ms:
        yield "Silence timeout", showing.span(spec.silence_timeout_ms)
    if spec.queue_timeout_ms:
        yield "Queue timeout", showing.span(spec.queue_timeout_ms)
