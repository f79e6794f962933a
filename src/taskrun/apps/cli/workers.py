"""Workers: which there are, and how a new one is let in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import rich_click as click

from taskrun.apps.advertising import is_every_address, is_loopback
from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.json_form import worker_form
from taskrun.apps.cli.values import Duration, Words, alternatives
from taskrun.apps.kinds import HostPort
from taskrun.domain.records import AgentSpec, WorkerView
from taskrun.domain.status import WorkerStatus

#: The statuses that a connected worker can have.
_STATUSES = [
    status.value for status in (WorkerStatus.IDLE, WorkerStatus.BUSY, WorkerStatus.DRAINING, WorkerStatus.ERROR)
]


@click.command("list-workers")
@click.option("--agent", metavar="NAME", default="", help="Only workers that offer this agent.")
@click.option(
    "--status", type=Words(*_STATUSES), metavar="STATUS", help=f"Only workers that are {alternatives(_STATUSES)}."
)
@client_command
def list_workers(connection: Connection, agent: str, status: str | None) -> None:
    """Lists the connected workers."""
    with connection.open() as client:
        workers = client.workers(agent, WorkerStatus(status) if status else None)
    if connection.json:
        showing.as_json({"workers": [worker_form(worker) for worker in workers]})
    else:
        headers = ("ID", "STATUS", "RUNS", "AGENTS", "HOST", "VERSION", "HEARTBEAT", "LABELS")
        showing.table(headers, [_row(worker) for worker in workers])


@click.command("create-token")
@click.option("--worker-id", metavar="ID", default="", help="Who the worker shall be. Without, an id is made up.")
@click.option("--ttl", "ttl_ms", type=Duration(), default="1h", show_default=True, help="At most 7d.")
@client_command
def create_token(connection: Connection, worker_id: str, ttl_ms: int) -> None:
    """Makes a bootstrap token, which lets one worker in, once, and prints it. It cannot be shown again."""
    with connection.open() as client:
        made = client.create_token(worker_id, ttl_ms)
        enroll_url = _reachable(made.enroll_url, client.address.host)
    if connection.json:
        token = {"token": made.token, "worker_id": made.worker_id, "expires_at_ms": made.expires_at_ms}
        showing.as_json(token | {"enroll_url": enroll_url})
        return
    click.echo(made.token)
    showing.note(
        f"It lets {made.worker_id} in, once, until {showing.local_time(made.expires_at_ms)}. On the worker's machine:"
    )
    showing.note(f"TASKRUN_TOKEN=... taskrun-worker --enroll {_arguments(enroll_url)}")
    for remark in _remarks(made.enroll_url, enroll_url):
        showing.note(f"({remark})")


def _reachable(enroll_url: str, host: str) -> str:
    """Of a control plane that listens on every address of its machine, we know the one that has led us there."""
    url = urlsplit(enroll_url)
    if not is_every_address(url.hostname or ""):
        return enroll_url
    return f"{url.scheme}://{HostPort(host, url.port or 0)}"


def _arguments(enroll_url: str) -> str:
    """For `--enroll`: the control plane's own certificate, which it has for https, is from its own CA."""
    trusting = " --enroll-ca-cert ca.crt" if enroll_url.startswith("https:") else ""
    return (enroll_url or "HTTP-ADDRESS-OF-THE-CONTROL-PLANE") + trusting


def _remarks(listens: str, enroll_url: str) -> Iterator[str]:
    """What else is needed there, by where the control plane `listens` and the URL that we know it by."""
    if enroll_url.startswith("https:"):
        yield "ca.crt is a copy of the control plane's."
    if is_loopback(urlsplit(listens).hostname or ""):
        yield "The control plane takes enrolments on its own machine only: see --http-addr and --http-tls."
    elif is_loopback(host := urlsplit(enroll_url).hostname or ""):
        yield f"On another machine, a name of the control plane's that is known there takes the place of {host}."


def _agent(agent: AgentSpec) -> str:
    """Its name, and the models that it says it uses."""
    models = [
        backend.model_name or backend.metadata.get("model") or "a model that it does not name"
        for backend in agent.backends
    ]
    return f"{agent.name} ({', '.join(models)})" if models else agent.name


def _row(worker: WorkerView) -> Sequence[str]:
    info = worker.info
    return (
        worker.id,
        worker.status.value,
        f"{worker.active_runs}/{worker.max_concurrent_runs}",
        ", ".join(map(_agent, info.agents)) or "-",
        info.hostname or "-",
        info.version or "-",
        showing.age(worker.last_heartbeat_ms),
        showing.pairs(info.labels),
    )
