"""Why a task waits."""

from __future__ import annotations

from collections.abc import Iterator

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.json_form import explanation_form
from taskrun.apps.cli.values import TaskId
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit


@click.command("explain")
@click.argument("task_id", metavar="ID", type=TaskId())
@client_command
def explain(connection: Connection, task_id: str) -> None:
    """Says why a task waits: what holds it, its place in the queue, and what each worker lacks to take it.

    The workers of all control planes are looked at, those that may come back too. Who lacks least comes first.
    """
    with connection.open() as client:
        told = client.explain(task_id)
    if connection.json:
        showing.as_json(explanation_form(told))
        return
    click.echo(showing.line(f"Task {told.task_id} is {told.status.value}: {told.summary}."))
    for fact in _facts(told):
        click.echo(fact)
    if told.workers:
        click.echo()
        showing.table(("WORKER", "LACKS"), [(fit.worker_id, _lacks(fit)) for fit in told.workers])
    if len(told.workers) < told.workers_looked_at:
        showing.note(f"These are the nearest {len(told.workers)} of {told.workers_looked_at} workers.")


def _facts(told: Explanation) -> Iterator[str]:
    if told.waits_since_ms:
        yield f"It has waited for {showing.age(told.waits_since_ms)}."
    if told.ahead:
        yield _place(told.ahead)
    if told.rests_until_ms:
        yield f"Its rest ends at {showing.local_time(told.rests_until_ms)}."


def _place(ahead: Ahead) -> str:
    """What a person wants to know of the queue. Tasks that need something else may go to the same workers."""
    if not ahead.tasks:
        return "Of the tasks that need the same it is the next."
    count = f"{ahead.tasks:,}{' or more' if ahead.or_more else ''}"
    return f"Of the tasks that need the same {count} {'goes' if count == '1' else 'go'} before it."


def _lacks(fit: WorkerFit) -> str:
    return "; ".join(fit.lacks) or "nothing: it could take the task now"
