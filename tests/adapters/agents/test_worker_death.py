"""A worker that is killed takes its agents with it, as root and as an ordinary user."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from taskrun.adapters.agents.containment.means import NAMESPACE, SUPERVISOR, TREE, containment
from tests.ordinary_user import OrdinaryUser

GoneWithin = Callable[[str, float], bool]

PROMISED_SECONDS = 2.0
NASTY = "trap '' TERM HUP; (setsid setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &); echo ready; sleep 1000"

WORKER = """
import asyncio, os, sys
from pathlib import Path
from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.environment import of_run
from taskrun.adapters.agents.containment.process import Program, contained

async def main(work_dir, run_id, means, script):
    directory = RunDirectory.make(Path(work_dir))
    environ = {"PATH": os.environ["PATH"], **of_run(run_id, "task-1", directory)}
    program = Program(("sh", "-c", script), environ, directory.work, directory.root)
    async with contained(program, 1000.0, means) as process:
        async for block in process.output():
            print(block.decode(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def worker(work_dir: Path, run_id: str) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """A worker with one nasty agent, up and running."""
    workers: list[subprocess.Popen[bytes]] = []

    def start(means: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", WORKER, str(work_dir), run_id, means, NASTY]
        worker = subprocess.Popen(argv, stdout=subprocess.PIPE)
        workers.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


@pytest.mark.parametrize("means", sorted({TREE, containment()}))
def test_a_killed_worker_leaves_no_agent_and_no_directory(
    worker: Callable[[str], subprocess.Popen[bytes]], gone_within: GoneWithin, run_id: str, work_dir: Path, means: str
) -> None:
    worker(means).kill()
    assert gone_within(run_id, PROMISED_SECONDS)
    assert list(work_dir.iterdir()) == []


@pytest.mark.skipif(containment() != NAMESPACE, reason="PID namespaces are not allowed here")
def test_in_a_namespace_not_even_the_death_of_worker_and_supervisor_leaves_an_agent(
    worker: Callable[[str], subprocess.Popen[bytes]], gone_within: GoneWithin, run_id: str
) -> None:
    process = worker(NAMESPACE)
    [supervisor] = psutil.Process(process.pid).children()
    # Frozen first, so that neither can do anything about the other's death.
    supervisor.suspend()
    process.kill()
    supervisor.kill()
    assert gone_within(run_id, PROMISED_SECONDS)


# As somebody who is not root: the supervisor alone, in the hands of this test instead of a worker.


@pytest.mark.parametrize("means", [TREE, NAMESPACE])
def test_an_ordinary_users_worker_leaves_no_agent_either(
    ordinary_user: OrdinaryUser, gone_within: GoneWithin, run_id: str, means: str
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        supervisor = subprocess.Popen(
            [*ordinary_user.become, *SUPERVISOR, means, str(theirs.fileno()), "", "sh", "-c", f"id -u; {NASTY}"],
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "TASKRUN_RUN_ID": run_id},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline().strip() != b"0"
        assert supervisor.stdout.readline() == b"ready\n"
    # Both ends are closed here: to the supervisor the worker has died.
    assert gone_within(run_id, PROMISED_SECONDS)
    supervisor.communicate()


def test_sigterm_to_a_supervisor_ends_its_run(gone_within: GoneWithin, run_id: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        supervisor = subprocess.Popen(
            [*SUPERVISOR, TREE, str(theirs.fileno()), "", "sh", "-c", NASTY],
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "TASKRUN_RUN_ID": run_id},
            pass_fds=[theirs.fileno()],
        )
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        supervisor.send_signal(signal.SIGTERM)
        assert gone_within(run_id, PROMISED_SECONDS)
        supervisor.communicate()
        assert ours.recv(64) == b"exit -9\n"
