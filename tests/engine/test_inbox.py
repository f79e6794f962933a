from __future__ import annotations

import asyncio

import pytest

from taskrun.domain.control_plane.inputs import RoomMade, WorkerSpoke
from taskrun.domain.protocol import RunReport
from taskrun.domain.status import RunStatus
from taskrun.engine import inbox
from taskrun.engine.inbox import MAX_INBOX_BYTES, Inbox


async def test_who_waits_for_room_goes_on_only_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX", 2)
    monkeypatch.setattr(inbox, "MAX_TURN", 1)
    box = Inbox()
    for session in range(3):
        box.put(WorkerSpoke(session, ()))
    waiting = asyncio.create_task(box.room())
    await asyncio.sleep(0)
    assert box.take() == [WorkerSpoke(0, ())]
    assert box.full
    assert box.take() == [WorkerSpoke(1, ())]
    await waiting
    assert len(box) == 1


def test_a_turn_takes_no_more_bytes_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_TURN_BYTES", 100)
    box = Inbox()
    for session in range(3):
        box.put(WorkerSpoke(session, (), size=60))
    assert [len(box.take()), len(box.take()), len(box.take())] == [2, 1, 0]


def test_of_what_a_worker_says_each_message_is_something_to_do() -> None:
    box = Inbox()
    box.put(WorkerSpoke(1, (RunReport("r", RunStatus.RUNNING), RunReport("r", RunStatus.COMPLETED))))
    box.put(RoomMade())
    assert box.load == 3
    box.take()
    assert box.load == 0
    box.put(RoomMade())
    box.clear()
    assert box.load == 0


def test_what_is_forgotten_takes_no_room_any_more() -> None:
    box = Inbox()
    box.put(WorkerSpoke(1, [], MAX_INBOX_BYTES))
    assert box.full
    box.clear()
    assert (len(box), box.load, box.full) == (0, 0, False)
