"""Three control planes on one PostgreSQL, two workers, and what becomes of a run when its control plane is killed.

    python examples/three-control-planes/run.py [postgresql://...]

Without a URL it starts a PostgreSQL server of its own, which has to be installed. Ctrl-C ends all that it has started.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import taskrun
from taskrun.adapters.ca.files import init_certs
from taskrun.apps.cli.children import CONTROL_PLANE, WORKER, Child, Children, children, plain_environ
from taskrun.apps.process import ends_raise
from taskrun.testing.postgres_server import PostgresServer

HERE = Path(__file__).parent
#: How far the agent counts, and when its control plane is killed.
MOST, KILLED_AT = 20, 5

WHAT_TO_TYPE = """
One is dead, two are left, and all goes on. In another terminal:

  source {env}
  taskrun list-workers
  taskrun create-task --agent counter --input 50 --watch

Kill another control plane meanwhile, by the process above: the watch goes on. Ctrl-C ends everything."""


@contextmanager
def database(given: Sequence[str]) -> Iterator[str]:
    """Where it is: at the URL that was given, or in a server that is gone afterwards."""
    if given:
        yield given[0]
        return
    with closing(PostgresServer()) as server:
        yield server.url()


def start_planes(family: Children, certs: Path, store: str) -> dict[str, Child]:
    """Three of them, by address: the same program with the same store and the same CA. Ports are free ones."""
    argv = [*CONTROL_PLANE, f"--store={store}", f"--certs-dir={certs}", "--grpc-addr=[::1]:0", "--http-addr=[::1]:0"]
    planes = [family.start(f"control plane {number}", argv, plain_environ()) for number in (1, 2, 3)]
    return {f"https://{plane.wait_for('ready')['grpc_addr']}": plane for plane in planes}


def start_worker(family: Children, name: str, directory: Path, planes: dict[str, Child], token: str) -> Child:
    """It knows all three addresses, and is with any of them. To enrol it needs one that is there now."""
    [plane, *_] = planes.values()
    places = [f"--certs-dir={directory / name}", f"--config={HERE / 'worker.toml'}", f"--addr={','.join(planes)}"]
    argv = [*WORKER, *places, f"--enroll=http://{plane.wait_for('ready')['http_addr']}"]
    worker = family.start(name, argv, plain_environ() | {"TASKRUN_TOKEN": token})
    worker.wait_for("connected")
    return worker


def write_env(directory: Path, certs: Path, addresses: str) -> Path:
    """What the command line has to know, as a file for a shell to source."""
    files = {"CA_CERT": "ca.crt", "CERT": "client.crt", "KEY": "client.key"}
    variables = {"ADDR": addresses} | {name: str(certs / file) for name, file in files.items()}
    env = directory / "env"
    env.write_text("".join(f"export TASKRUN_{name}={shlex.quote(value)}\n" for name, value in variables.items()))
    return env


def kill_home(worker: Child, planes: dict[str, Child]) -> None:
    """`kill -9` of the control plane that the worker is with."""
    home = str(worker.wait_for("connected")["to"])
    os.kill(planes[home].pid, signal.SIGKILL)
    say(f"kill -9 of the {planes[home].name}, which {worker.name} is with")


def count_through_a_death(client: taskrun.Client, planes: dict[str, Child], workers: dict[str, Child]) -> None:
    """Watches a task whose worker loses its control plane in the middle of it."""
    [task] = client.create([taskrun.TaskSpec("counter", str(MOST))])
    assert isinstance(task, taskrun.Task), task
    numbers = 0
    for entries in client.watch(task.id):
        for entry in entries:
            if isinstance(entry.body, taskrun.OutputSegment):
                text = "".join(entry.body.contents)
                say(text.rstrip("\n"))
                before, numbers = numbers, numbers + text.count("\n")
                if before < KILLED_AT <= numbers:
                    kill_home(workers[client.get(task.id).runs[-1].worker_id], planes)
    task = client.get(task.id)
    say(f"{task.status.value} after {len(task.runs)} run")


def play(family: Children, store: str) -> None:
    """Never returns: what it has started is there until Ctrl-C."""
    directory = family.directory("taskrun-three-")
    certs = directory / "certs"
    init_certs(certs)
    planes = start_planes(family, certs, store)
    pems = [(certs / name).read_bytes() for name in ("ca.crt", "client.crt", "client.key")]
    # Never closed, see below.
    client = taskrun.Client(list(planes), taskrun.ClientTls(*pems))
    tokens = {name: client.create_token(name).token for name in ("worker-1", "worker-2")}
    workers = {name: start_worker(family, name, directory, planes, token) for name, token in tokens.items()}
    for address, plane in planes.items():
        say(f"{plane.name}, process {plane.pid}: {address}")
    count_through_a_death(client, planes, workers)
    say(WHAT_TO_TYPE.format(env=write_env(directory, certs, ",".join(planes))))
    signal.pause()


def say(line: str) -> None:
    """At once, also where nobody sits before it."""
    print(line, flush=True)


if __name__ == "__main__":
    try:
        with ends_raise(), database(sys.argv[1:]) as store, children() as family:
            play(family, store)
    except KeyboardInterrupt:
        # All that it started is gone. A channel of gRPC that is closed or freed waits for a call that was broken off
        # half-way, and for ever, since nobody goes on with it. So nothing is closed or freed any more.
        os._exit(0)
