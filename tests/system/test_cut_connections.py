"""Connections that break anywhere, again and again, while many tasks run."""

from __future__ import annotations

import random
from pathlib import Path

from taskrun.domain.records import OutputSegment, Task
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from tests.proxy import Proxy, endless
from tests.system.site import Site, command

TASKS = 200
#: After this many cuts connections are left alone, so that the end is certain.
CUTS = 25
#: Bytes that a connection lives: a handshake takes about 5,000, a task about 600.
LIFETIMES = (4_000, 16_000)

#: Writes into the file that is its argument which run it is, then says its input.
DIARIST = 'input=$(cat); echo "$TASKRUN_RUN_ID" >> "$0"; printf %s "$input"'


class Fate:
    """How long connections live: by chance, until there were enough cuts."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._left = CUTS

    def __call__(self) -> int:
        self._left -= 1
        return self._random.randrange(*LIFETIMES) if self._left > 0 else endless()


def test_with_connections_cut_anywhere_every_task_ends_exactly_once(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    agents = [command("diarist", DIARIST, str(diary))]
    with Site(tmp_path) as site:
        site.start_plane()
        with Proxy(site.grpc_port, Fate(seed=1)) as proxy:
            for name in ("one", "two"):
                fast = ("--reconnect", "0.05", "--reconnect-max", "0.1")
                site.launch_worker(name, *fast, agents=agents, addr=proxy.addr)
            # What is proved is that a task ends once, however often it begins.
            tasks = [site.create("diarist", str(number), max_attempts=100) for number in range(TASKS)]
            for number, task in enumerate(tasks):
                assert_completed_once(site, site.end_of(task.id), output=str(number))
            assert proxy.connections > CUTS / 2
    begun = diary.read_text().split()
    assert len(begun) == len(set(begun))


def assert_completed_once(site: Site, task: Task, output: str) -> None:
    """One run completed it, all of whose output is there once, and nothing came after its one end."""
    *lost, last = task.runs
    assert (task.status, last.status) == (TaskStatus.COMPLETED, RunStatus.COMPLETED)
    assert {run.failure for run in lost} <= {FailureKind.WORKER_LOST}
    story = list(site.story(task.id))
    assert [entry.is_end for entry in story] == [*[False] * (len(story) - 1), True]
    bodies = [entry.body for entry in story]
    said = [body for body in bodies if isinstance(body, OutputSegment) and body.run_id == last.id]
    assert "".join(text for body in said for text in body.contents) == output
