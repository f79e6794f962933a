"""Runs enter rooms and leave them, also in a hurry."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from loguru import logger

from taskrun.adapters.agents.sessions.rooms import SessionRooms
from taskrun.adapters.agents.sessions.shelf import HeldDirectory, Keeping, NotKept, SessionShelf


@pytest.fixture
def rooms(tmp_path: Path) -> SessionRooms:
    return SessionRooms(tmp_path, Keeping())


async def begin(rooms: SessionRooms, session_id: str = "s1") -> Path:
    """A session's first run."""
    async with rooms.room("a") as room:
        room.session_id = session_id
        (room.directory.work / "notes").write_text("first")
        return room.directory.root


async def test_a_session_goes_on_where_it_was(rooms: SessionRooms) -> None:
    root = await begin(rooms)
    async with rooms.room("a", "s1") as room:
        assert (room.directory.root, room.session_id) == (root, "s1")
        assert (room.directory.work / "notes").read_text() == "first"


async def test_a_run_without_a_session_leaves_nothing(rooms: SessionRooms, tmp_path: Path) -> None:
    async with rooms.room("a"):
        pass
    assert os.listdir(tmp_path) == []


async def test_a_session_outlives_a_run_in_it_that_fails(rooms: SessionRooms) -> None:
    await begin(rooms)
    with pytest.raises(RuntimeError, match="bad luck"):
        async with rooms.room("a", "s1"):
            raise RuntimeError("bad luck")
    async with rooms.room("a", "s1") as room:
        assert (room.directory.work / "notes").read_text() == "first"


async def test_a_fork_is_a_session_of_its_own_or_nothing(rooms: SessionRooms, tmp_path: Path) -> None:
    root = await begin(rooms)
    left = sorted(os.listdir(tmp_path))
    async with rooms.room("a", "s1", fork=True) as room:
        assert room.directory.root != root
    assert sorted(os.listdir(tmp_path)) == left
    async with rooms.room("a", "s1", fork=True) as room:
        room.session_id = "s2"
        (room.directory.work / "notes").write_text("second")
    for session_id, text in (("s1", "first"), ("s2", "second")):
        async with rooms.room("a", session_id) as room:
            assert (room.directory.work / "notes").read_text() == text


async def test_who_keeps_no_sessions_leaves_nothing(rooms: SessionRooms, tmp_path: Path) -> None:
    async with rooms.room("a", keep=0) as room:
        room.session_id = "s1"
    assert os.listdir(tmp_path) == []


async def test_what_expires_is_deleted_without_another_run(rooms: SessionRooms, tmp_path: Path) -> None:
    deleted = threading.Event()
    delete = HeldDirectory.delete

    def told(held: HeldDirectory) -> None:
        delete(held)
        deleted.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeldDirectory, "delete", told)
        async with rooms.room("a", keep=0.05) as room:
            room.session_id = "s1"
        assert await asyncio.to_thread(deleted.wait, 30)
    with pytest.raises(NotKept):
        async with rooms.room("a", "s1"):
            pass


async def test_a_session_that_cannot_be_written_down_is_said_and_not_kept(
    rooms: SessionRooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SessionShelf, "keep", full)
    said: list[str] = []
    handler = logger.add(said.append, format="{message}")
    await begin(rooms)
    logger.remove(handler)
    assert said == ["a session is not kept: No space left on device\n"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("session_id", "fork"), [("", False), ("s1", False), ("s1", True)])
async def test_who_is_cancelled_at_the_door_leaves_all_as_it_was(
    rooms: SessionRooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session_id: str, fork: bool
) -> None:
    await begin(rooms)
    left = sorted(os.listdir(tmp_path))
    enter, at_the_door, opened = rooms._enter, threading.Event(), threading.Event()

    def slowly(*arguments: object) -> HeldDirectory:
        at_the_door.set()
        assert opened.wait(30)
        return enter(*arguments)  # type: ignore[arg-type]

    async def run() -> None:
        async with rooms.room("a", session_id, fork=fork):
            raise AssertionError

    monkeypatch.setattr(rooms, "_enter", slowly)
    running = asyncio.create_task(run())
    assert await asyncio.to_thread(at_the_door.wait, 30)
    running.cancel()
    await asyncio.wait([running], timeout=0.05)
    opened.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == left
    async with rooms.room("a", "s1"):
        pass
