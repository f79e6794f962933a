"""A disk that fills up under a control plane: new tasks are refused in time, all else goes on, and it recovers."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from taskrun.adapters.stores.sqlite import space
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.space import Space
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.errors import ResourceExhausted, StoreFailed
from taskrun.domain.protocol import Heartbeat, HeartbeatAck
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.contracts.store_cases import make_task, save
from taskrun.testing.harness import RecordingTelemetry
from tests.engine.peers import Peer

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
async def plane(small_disk: Path) -> AsyncIterator[ControlPlane]:
    """A control plane that leaves 4 MiB of the small disk to what is under way."""
    store = SqliteStore(Database(small_disk / "taskrun.db", reserve=4 * MIB))
    plane = ControlPlane(store, SystemClock(), UuidV7Source(), RecordingTelemetry(), ControlPlaneTimers())
    await plane.start()
    yield plane
    await plane.stop()
    await store.close()


async def _create(plane: ControlPlane) -> object:
    [answer] = await plane.create([TaskSpec("echo", '"' + "x" * 100_000 + '"')], "client:me")
    return answer


async def _until_refused(plane: ControlPlane) -> list[Task]:
    made: list[Task] = []
    while isinstance(answer := await _create(plane), Task):
        made.append(answer)
    assert isinstance(answer, ResourceExhausted)
    assert "no room for new tasks" in answer.message
    return made


async def _ended(plane: ControlPlane, task_id: str) -> bool:
    async for entries in plane.watch(task_id):
        if entries[-1].is_end:
            return True
    return False


async def test_what_is_under_way_ends_while_new_tasks_are_refused(
    plane: ControlPlane, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_LOOK", 0.0)
    peer = Peer(plane)
    await peer.connect()
    first = await _create(plane)
    assert isinstance(first, Task)
    (small_disk / "ballast").write_bytes(b"x" * (2 * MIB))
    made = await _until_refused(plane)

    await peer.say(Heartbeat(WorkerStatus.BUSY, 1, 10))
    await peer.end(peer.runs[0].run_id)
    async with asyncio.timeout(10):
        assert await _ended(plane, first.id)
    assert (await plane.get(first.id)).status is TaskStatus.COMPLETED
    assert any(isinstance(message, HeartbeatAck) for message in peer.heard)
    assert [(await plane.get(task.id)).id for task in made] == [task.id for task in made]
    assert isinstance(await _create(plane), ResourceExhausted)

    (small_disk / "ballast").unlink()
    assert isinstance(await _create(plane), Task)


async def test_a_disk_that_is_really_full_fails_the_commit_and_recovers(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_REFUSED", 0.0)
    store = SqliteStore(Database(small_disk / "taskrun.db", reserve=0))
    (small_disk / "ballast").write_bytes(b"x" * (7 * MIB))
    with pytest.raises(StoreFailed, match="is full"):
        await save(store, *(make_task(n) for n in range(5000)))
    (small_disk / "ballast").unlink()
    assert store.room
    await save(store, make_task(1))
    assert (await store.recover()).counts[TaskStatus.PENDING] == 1
    await store.close()


def test_room_is_what_the_disk_has_above_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, now = 100, [0.0]
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    disk = Space(tmp_path, reserve=50)
    assert disk.room
    free = 50
    assert disk.room, "it looks now and then"
    now[0] += 1
    assert not disk.room
    free = 51
    now[0] += 1
    assert disk.room


def test_after_a_refusal_there_is_no_room_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    disk = Space(tmp_path, reserve=0)
    disk.was_refused()
    assert not disk.room
    now[0] += 4.9
    assert not disk.room
    now[0] += 0.2
    assert disk.room


def test_a_disk_that_does_not_answer_has_no_room(tmp_path: Path) -> None:
    assert not Space(tmp_path / "gone", reserve=0).room
