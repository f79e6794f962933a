"""Several control planes on one PostgreSQL database, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskrun.adapters.grpc.client import Client
from taskrun.domain.errors import FailedPrecondition, Unavailable
from taskrun.domain.records import OutputSegment, Task, TaskQuery, TaskSpec
from taskrun.domain.status import FailureKind, TaskStatus, WorkerStatus
from tests.proxy import Proxy
from tests.system.site import ECHO, PATIENCE, RunningProgram, Site, only_run, processes_of, soon
from tests.system.test_resuming import COUNTER, assert_told_once, count_to, output

pytestmark = pytest.mark.timeout(180)

#: Meetings are so rare that only calls can be what wakes anybody.
NEVER_MEET = ("--lease", "3600s")
#: An agent with a session: its first turn is over when its gate is open, every other says what it was told.
TALKER = {
    "name": "talker",
    "kind": "jsonl",
    "command": [
        sys.executable,
        "-c",
        """
import json, os, sys, time

def tell(**line):
    print(json.dumps(line), flush=True)

request = json.loads(sys.stdin.readline())
tell(type="session", id="s-1")
if request["session_id"]:
    tell(type="text", text="heard " + request["input"] + "\\n")
else:
    tell(type="text", text="BEGUN\\n")
    while not os.path.exists(request["input"]):
        time.sleep(0.05)
tell(type="result")
""",
    ],
}
#: What one says that was taken for dead.
FENCED = "the store failed: Another control plane has taken over: this one was silent for too long."


@dataclass(frozen=True)
class Replica:
    """One control plane, and a client that knows only this one."""

    program: RunningProgram
    grpc_port: int
    http_addr: str
    client: Client


class Replicas:
    """A site with as many control planes as are started. Its helpers talk to the one that was `turned_to` last."""

    def __init__(self, site: Site, url: str) -> None:
        self.site, self._url = site, url

    def start(self, *arguments: str) -> Replica:
        program = self.site.start_plane("--store", self._url, *arguments)
        return Replica(program, self.site.grpc_port, self.site.http_addr, self.site.client)

    def turn_to(self, replica: Replica) -> Site:
        self.site.client = replica.client
        return self.site

    def create(self, at: Replica, agent: str, input: object) -> Task:
        return self.turn_to(at).create(agent, input)


@pytest.fixture
def replicas(tmp_path: Path, postgres_url: str) -> Iterator[Replicas]:
    with Site(tmp_path) as site:
        yield Replicas(site, postgres_url)


def addr(replica: Replica) -> str:
    return f"[::1]:{replica.grpc_port}"


def shown_by(replica: Replica) -> dict[str, str]:
    """The workers of all control planes, as one lists them over HTTP."""
    with urllib.request.urlopen(f"http://{replica.http_addr}/v1/workers", timeout=PATIENCE) as answer:
        return {worker["worker_id"]: worker["status"] for worker in json.load(answer)["workers"]}


def live(at: Replica, task: Task, line: str) -> int:
    """Follows the task until it has said this; in how many pieces the output came."""
    said, pieces = "", 0
    for entries in at.client.watch(task.id):
        new = "".join("".join(each.body.contents) for each in entries if isinstance(each.body, OutputSegment))
        said, pieces = said + new, pieces + bool(new)
        if line in said:
            return pieces
    raise AssertionError(f"The task has ended without {line!r}: {said}")


def test_a_task_of_one_runs_at_another_is_watched_live_at_a_third_and_cancelled_at_the_first(
    replicas: Replicas, gate: Path
) -> None:
    a, b, c = (replicas.start(*NEVER_MEET) for _ in range(3))
    replicas.site.launch_worker("one", agents=[COUNTER], addr=addr(b))
    for each in (a, b, c):
        soon(lambda at=each: shown_by(at) == {"one": "IDLE"})  # type: ignore[misc]  # bound
        assert each.client.worker("one").status is WorkerStatus.IDLE
    task = replicas.create(a, "counter", str(gate))
    assert live(c, task, "\n20\n") >= 10
    assert all(each.client.get(task.id).status is TaskStatus.RUNNING for each in (a, b, c))
    assert [each.id for each in c.client.find(TaskQuery(status=TaskStatus.RUNNING)).tasks] == [task.id]
    answer = a.client.cancel(task.id)
    assert (answer.id, answer.status, answer.cancel_requested) == (task.id, TaskStatus.RUNNING, True)
    done = replicas.turn_to(c).end_of(task.id)
    assert done.status is TaskStatus.CANCELLED
    assert not processes_of(only_run(done))
    for each in (a, b, c):
        with pytest.raises(FailedPrecondition):
            each.client.cancel(task.id)


def test_the_run_of_a_worker_whose_control_plane_is_killed_goes_on_at_another(replicas: Replicas, gate: Path) -> None:
    a, b, c = (replicas.start() for _ in range(3))
    worker = replicas.site.launch_worker("one", agents=[COUNTER], addr=f"{addr(b)},{addr(c)}")
    here = str(worker.wait_for("connected")["to"])
    [first] = [each for each in (b, c) if here.endswith(addr(each))]
    task = replicas.create(a, "counter", str(gate))
    count_to(replicas.turn_to(a), task, 3)
    os.kill(first.program.pid, signal.SIGKILL)
    count_to(replicas.turn_to(a), task, 40)
    gate.touch()
    assert_told_once(replicas.site, replicas.turn_to(a).end_of(task.id))
    assert shown_by(a)["one"] in {"IDLE", "BUSY"}


def test_a_worker_that_changes_its_control_plane_takes_its_run_along_while_the_old_one_lives(
    replicas: Replicas, gate: Path
) -> None:
    a, b = replicas.start(), replicas.start()
    with Proxy(a.grpc_port) as way:
        replicas.site.launch_worker("one", agents=[COUNTER], addr=way.addr)
        task = replicas.create(a, "counter", str(gate))
        for number, port in ((10, b.grpc_port), (20, a.grpc_port), (30, b.grpc_port), (40, a.grpc_port)):
            way.lead_to(port)
            count_to(replicas.turn_to(b), task, number)
        gate.touch()
        assert_told_once(replicas.site, replicas.turn_to(a).end_of(task.id))


def test_a_frozen_control_plane_is_fenced_off_and_begins_again(replicas: Replicas, gate: Path) -> None:
    fast = ("--lease", "3s", "--worker-grace", "6s", "--silence-timeout", "4s")
    a, b = replicas.start(*fast), replicas.start(*fast)
    patience = ("--heartbeat", "1s", "--resume-timeout", "3s")
    with Proxy(a.grpc_port) as way:
        replicas.site.launch_worker("stays", *patience, agents=[COUNTER], addr=addr(a))
        first = replicas.create(a, "counter", str(gate))
        count_to(replicas.site, first, 3)
        replicas.site.launch_worker("moves", *patience, agents=[COUNTER, ECHO], addr=way.addr)
        soon(lambda: "moves" in shown_by(a))
        second = replicas.create(a, "counter", str(gate))
        count_to(replicas.site, second, 3)
        assert {replicas.site.last_worker(task.id) for task in (first, second)} == {"stays", "moves"}
        os.kill(a.program.pid, signal.SIGSTOP)
        way.lead_to(b.grpc_port)
        replicas.turn_to(b)
        # One goes on with its worker, the other is lost with the worker that stayed.
        count_to(replicas.site, second, 30)
        soon(lambda: len(b.client.get(first.id).runs) == 2)
        gate.touch()
        ends = [replicas.site.end_of(task.id) for task in (first, second)]
        os.kill(a.program.pid, signal.SIGCONT)
        a.program.wait_for(FENCED)
        soon(lambda: "stays" in {w.id for w in a.client.workers(status=WorkerStatus.IDLE)})
        assert [a.client.get(task.id) for task in (first, second)] == ends
        # What it takes in from now on is done again, also by workers of the other.
        echoed = replicas.create(a, "echo", 1)
        assert replicas.turn_to(a).end_of(echoed.id).status is TaskStatus.COMPLETED
    assert [(run.worker_id, run.failure) for run in ends[0].runs] == [
        ("stays", FailureKind.WORKER_LOST),
        ("moves", None),
    ]
    assert_told_once(replicas.site, ends[1])


def talk(replicas: Replicas, at: Replica, gate: Path) -> Task:
    """A run of one's own worker, whose agent has a session."""
    replicas.site.launch_worker("one", agents=[TALKER], addr=addr(at))
    task = replicas.create(at, "talker", str(gate))
    replicas.site.wait_for_output(task.id, "BEGUN")
    return task


def test_a_message_to_a_run_is_said_once_whichever_control_plane_is_asked(replicas: Replicas, gate: Path) -> None:
    a, b, c = (replicas.start(*NEVER_MEET) for _ in range(3))
    task = talk(replicas, a, gate)
    for at in (b, c, a, b):
        assert at.client.continue_task(task.id, "more", idempotency_key="k").id == task.id
    gate.touch()
    only_run(replicas.turn_to(b).end_of(task.id))
    assert output(replicas.site, task) == ["BEGUN", "heard more"]


def test_who_talks_to_the_run_of_a_frozen_control_plane_is_told_that_nothing_was_said(
    replicas: Replicas, gate: Path
) -> None:
    # Its lease is longer than anybody waits for an answer.
    a, b = (replicas.start("--lease", "60s") for _ in range(2))
    task = talk(replicas, a, gate)
    os.kill(a.program.pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="it was not said"):
        b.client.continue_task(task.id, "more")
    os.kill(a.program.pid, signal.SIGCONT)
    gate.touch()
    only_run(replicas.turn_to(a).end_of(task.id))
    assert output(replicas.site, task) == ["BEGUN"]


@pytest.mark.parametrize("both", [False, True])
def test_who_waits_for_a_worker_that_is_gone_is_told_so_also_if_its_control_plane_went_with_it(
    replicas: Replicas, tmp_path: Path, both: bool
) -> None:
    fast = ("--lease", "3s", "--worker-grace", "4s")
    a, b = (replicas.start(*fast) for _ in range(2))
    (open_gate := tmp_path / "open").touch()
    site = replicas.turn_to(a)
    worker = site.launch_worker("one", "--max-concurrent-runs", "1", agents=[TALKER], addr=addr(b))
    soon(lambda: shown_by(a) == {"one": "IDLE"})
    before = site.end_of(site.create("talker", str(open_gate)).id)
    busy = site.create("talker", str(tmp_path / "shut"))
    site.wait_for_output(busy.id, "BEGUN")
    waits = a.client.continue_task(before.id, "more")
    assert waits.status is TaskStatus.PENDING
    if both:
        b.program.kill()
    worker.kill()
    ended = site.end_of(waits.id)
    assert (ended.status, ended.failure) == (TaskStatus.FAILED, FailureKind.WORKER_LOST)
    assert f"only it has the session of task {before.id}" in ended.error
    assert a.client.explain(waits.id).summary == f"it has ended: {ended.error}"


def test_one_idempotency_key_makes_one_task_wherever_it_is_used(replicas: Replicas) -> None:
    planes = [replicas.start() for _ in range(3)]
    with ThreadPoolExecutor(3) as callers:
        for n in range(20):
            spec = TaskSpec("nothing", "1", idempotency_key=f"key-{n}")
            made = callers.map(lambda at, spec=spec: at.client.create([spec])[0], planes)
            [task, *others] = made
            assert isinstance(task, Task)
            assert [task.id] * 2 == [each.id for each in others if isinstance(each, Task)]
    assert len(planes[0].client.find(TaskQuery()).tasks) == 20
