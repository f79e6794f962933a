"""Runs outlive their stream and their control plane: no agent begins twice, and no output is lost."""

from __future__ import annotations

from pathlib import Path

from taskrun.domain.records import OutputSegment, Task
from taskrun.domain.status import FailureKind, TaskStatus
from tests.proxy import Proxy
from tests.system.site import Site, command, only_run, processes_of, soon

#: Says what it has come to, ten times a second, until its gate is open.
COUNTER = command(
    "counter",
    """
    read gate
    n=0
    while [ ! -e "$gate" ]; do n=$((n + 1)); echo $n; sleep 0.1; done
    echo DONE
    """,
)


def output(site: Site, task: Task) -> list[str]:
    """The lines of its output."""
    bodies = [entry.body for entry in site.story(task.id)]
    return "".join(text for body in bodies if isinstance(body, OutputSegment) for text in body.contents).splitlines()


def assert_told_once(site: Site, task: Task) -> None:
    """One run did it all, and each line of it is there once, in order."""
    assert (task.status, len(task.runs)) == (TaskStatus.COMPLETED, 1)
    *numbers, end = output(site, task)
    assert end == "DONE"
    assert numbers == [str(n + 1) for n in range(len(numbers))]


def count_to(site: Site, task: Task, number: int) -> None:
    """Returns once the task's output has come so far."""
    site.wait_for_output(task.id, f"\n{number}\n")


def begun(site: Site, gate: Path) -> Task:
    task = site.create("counter", str(gate))
    count_to(site, task, 3)
    return site.client.get(task.id)


def test_a_control_plane_that_is_killed_finds_the_runs_as_they_are(tmp_path: Path, gate: Path) -> None:
    durable = ("--store", f"sqlite:{tmp_path / 'tasks.db'}")
    with Site(tmp_path) as site:
        site.start_plane(*durable)
        site.start_worker("one", agents=[COUNTER])
        task = begun(site, gate)
        port = str(site.grpc_port)
        for _ in range(3):
            site.plane.kill()
            site.start_plane(*durable, "--grpc-addr", f"[::1]:{port}")
            soon(lambda: site.worker_ids() == ["one"])
        count_to(site, task, 30)
        gate.touch()
        assert_told_once(site, site.end_of(task.id))


def test_a_connection_that_breaks_breaks_no_run(tmp_path: Path, gate: Path) -> None:
    with Site(tmp_path) as site:
        site.start_plane()
        with Proxy(site.grpc_port) as proxy:
            site.start_worker("one", agents=[COUNTER], addr=proxy.addr)
            task = begun(site, gate)
            for number in (10, 20, 30):
                proxy.cut()
                count_to(site, task, number)
            gate.touch()
            assert_told_once(site, site.end_of(task.id))


def test_a_worker_that_reaches_nobody_stops_its_runs_before_they_are_given_to_another(
    tmp_path: Path, gate: Path
) -> None:
    with Site(tmp_path) as site:
        site.start_plane("--worker-grace", "8s", "--silence-timeout", "4s")
        with Proxy(site.grpc_port) as proxy:
            site.start_worker("away", "--heartbeat", "1s", "--resume-timeout", "3s", agents=[COUNTER], addr=proxy.addr)
            task = begun(site, gate)
            run_id = only_run(task)
            site.start_worker("other", "--heartbeat", "1s", agents=[COUNTER])
            proxy.hold()
            soon(lambda: not processes_of(run_id))
            assert len(site.client.get(task.id).runs) == 1
            gate.touch()
            done = site.end_of(task.id)
    assert [(run.worker_id, run.failure) for run in done.runs] == [("away", FailureKind.WORKER_LOST), ("other", None)]
