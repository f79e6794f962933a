"""A worker of an ordinary user: it says what cannot be had, and nothing is left of its agents all the same."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.containment.means import LACKING, TREE
from taskrun.apps.cli.children import WORKER, Child
from taskrun.testing.contracts.agent_acts import NASTY, NASTY_COMMAND, NASTY_PROCESSES, READY, UNLABELLED
from taskrun.testing.processes import processes_of, until_there_are, until_there_is_nothing
from tests.apps.places import CLI, PATIENCE, Site, send
from tests.ordinary_user import OrdinaryUser

#: What its agents do, by their names: the second kills its supervisor, where it can.
SCRIPTS = {
    "nasty": f"echo {READY}; {NASTY}",
    "killer": f"({UNLABELLED} setsid {NASTY_COMMAND} &); kill -9 $PPID; exit 1",
}
#: Seconds after a worker's death in which its agents end.
PROMISED = 2.0


@pytest.fixture
def worker(site: Site, ordinary_user: OrdinaryUser) -> Child:
    """His, with agents that do all they can to stay."""
    site.start()
    place = ordinary_user.place
    certs, config = Path(shutil.copytree(site.certs, place / "certs")), place / "worker.toml"
    agents = {name: json.dumps(["sh", "-c", script]) for name, script in SCRIPTS.items()}
    config.write_text(
        "".join(f'[[agents]]\nname = "{name}"\nkind = "command"\ncommand = {agents[name]}\n' for name in agents)
    )
    ordinary_user.give(certs, config)
    files = [f"--certs-dir={certs}", f"--config={config}", f"--work-dir={place / 'work'}"]
    argv = [*ordinary_user.become, *WORKER, f"--addr={site.grpc_addr}", "--stop-grace=1", *files]
    worker = site.child("worker", argv)
    worker.wait_for("connected", PATIENCE)
    return worker


def begun(site: Site) -> tuple[str, str]:
    """The ids of a task and its run, whose agent has done its worst."""
    task_id = site.cli("create-task", "--agent=nasty", "--input=stay").stdout.strip()
    site.child("watcher", [*CLI, "watch-task", task_id], **site.variables()).wait_for(READY, PATIENCE)
    run_id: str = told(site, task_id)["runs"][0]["run_id"]
    asyncio.run(asyncio.wait_for(until_there_are(run_id, NASTY_COMMAND, NASTY_PROCESSES), PATIENCE))
    return task_id, run_id


def told(site: Site, task_id: str) -> Mapping[str, Any]:
    task: Mapping[str, Any] = json.loads(site.cli("get-task", task_id, "--json").stdout)
    return task


def test_what_cannot_be_had_is_said_at_the_start_and_in_the_labels(
    site: Site, worker: Child, ordinary_user: OrdinaryUser
) -> None:
    means = ordinary_user.containment()
    assert worker.wait_for(f"working for {site.grpc_addr}")["containment"] == means
    [seen] = json.loads(site.cli("list-workers", "--json").stdout)["workers"]
    assert seen["labels"]["taskrun.containment"] == means
    assert (LACKING[TREE] in worker.said()) == (means == TREE)


def test_a_task_that_is_cancelled_has_left_nothing(site: Site, worker: Child) -> None:
    task_id, run_id = begun(site)
    site.cli("cancel-task", task_id)
    site.cli("watch-task", task_id)
    assert processes_of(run_id) == {}
    assert told(site, task_id)["status"] == "CANCELLED"


def test_an_agent_that_kills_its_supervisor_has_left_nothing(site: Site, worker: Child) -> None:
    task_id = site.cli("create-task", "--agent=killer", "--input=stay").stdout.strip()
    site.cli("watch-task", task_id)
    [run] = told(site, task_id)["runs"]
    assert run["failure_kind"] == "agent_error"
    assert processes_of(run["run_id"]) == {}


def test_a_worker_that_is_killed_leaves_nothing(site: Site, worker: Child) -> None:
    _, run_id = begun(site)
    send(worker, signal.SIGKILL)
    asyncio.run(asyncio.wait_for(until_there_is_nothing(run_id), PROMISED))
