"""Watchers: early, late, slow, from any seq; they end with the task, or when the control plane stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from taskrun.domain.errors import NotFound, Unavailable
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import OutputSegment, StoryEntry, Task, TaskChange, TaskSpec
from taskrun.domain.status import RunStatus, TaskStatus
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from tests.engine.peers import Peer


class Streaming:
    """One task with one run, on one worker."""

    def __init__(self, plane: ControlPlane, peer: Peer, task: Task) -> None:
        self.plane, self.peer, self.task_id, self.run_id = plane, peer, task.id, task.runs[0].id

    async def say(self, first_seq: int, *contents: str) -> None:
        await self.peer.say(OutputSegment(self.run_id, first_seq, contents))

    async def end(self) -> None:
        await self.peer.say(RunReport(self.run_id, RunStatus.COMPLETED))

    def watch(self, from_seq: int = 0) -> AsyncIterator[Sequence[StoryEntry]]:
        return self.plane.watch(self.task_id, from_seq)

    def watching(self, from_seq: int = 0) -> asyncio.Task[list[StoryEntry]]:
        return asyncio.create_task(self.read(from_seq))

    async def read(self, from_seq: int = 0) -> list[StoryEntry]:
        return [entry async for entries in self.watch(from_seq) for entry in entries]


@pytest.fixture
async def streaming(plane: ControlPlane, peer: Peer) -> Streaming:
    await peer.connect()
    [task] = await plane.create([TaskSpec("echo", "1")], "client:me")
    assert isinstance(task, Task)
    return Streaming(plane, peer, task)


def words(entries: Sequence[StoryEntry]) -> str:
    """The output and the statuses, in order."""
    said: list[str] = []
    for entry in entries:
        if isinstance(entry.body, OutputSegment):
            said += entry.body.contents
        elif isinstance(entry.body, TaskChange):
            said.append(entry.body.status.value)
    return " ".join(said)


async def test_a_watcher_from_the_beginning_hears_everything_and_ends_with_the_task(streaming: Streaming) -> None:
    """Also what a fast agent said before anybody watched."""
    await streaming.say(0, "a")
    watcher = streaming.watching()
    await streaming.say(1, "b", "c")
    await streaming.end()
    assert words(await watcher) == "PENDING RUNNING a b c COMPLETED"


async def test_a_watcher_that_comes_after_the_end_hears_everything_and_does_not_wait(streaming: Streaming) -> None:
    await streaming.say(0, "a")
    await streaming.end()
    await streaming.read()
    assert words(await streaming.read()) == "PENDING RUNNING a COMPLETED"


async def test_a_watcher_hears_what_is_new_as_it_comes(streaming: Streaming, jumping: JumpingClock) -> None:
    story = streaming.watch()
    assert words(await anext(story)) == "PENDING RUNNING"
    pending = asyncio.ensure_future(anext(story))
    await jumping.advance(0)
    assert not pending.done()
    await streaming.say(0, "a")
    assert words(await pending) == "a"
    await streaming.end()
    assert words(await anext(story)) == "COMPLETED"
    with pytest.raises(StopAsyncIteration):
        await anext(story)


async def test_a_watcher_begins_at_any_seq_also_within_a_segment(streaming: Streaming, jumping: JumpingClock) -> None:
    await streaming.say(0, "a", "b", "c")
    await streaming.end()
    whole = await streaming.read()
    assert whole[-1].seq == 5
    for seq in range(7):
        rest = await streaming.read(seq)
        assert words(rest) == " ".join(words(whole).split()[seq:])
        assert [entry.seq for entry in rest][:1] == [seq][: len(rest)]


async def test_a_watcher_from_beyond_the_end_of_a_finished_task_ends_at_once(streaming: Streaming) -> None:
    await streaming.end()
    await streaming.read()
    assert await streaming.read(1000) == []


async def test_a_watcher_from_a_seq_that_is_yet_to_come_waits_for_it(
    streaming: Streaming, jumping: JumpingClock
) -> None:
    watcher = streaming.watching(4)
    await streaming.say(0, "a", "b")
    await jumping.advance(0)
    assert not watcher.done()
    await streaming.say(2, "c")
    await streaming.end()
    assert words(await watcher) == "c COMPLETED"


async def test_a_slow_watcher_misses_nothing_and_gets_in_one_list_what_gathered(
    streaming: Streaming, jumping: JumpingClock
) -> None:
    story = streaming.watch(2)
    await streaming.say(0, "a")
    assert words(await anext(story)) == "a"
    for seq in range(1, 50):
        await streaming.say(seq, str(seq))
    await streaming.end()
    await jumping.advance(0)
    gathered = await anext(story)
    assert words(gathered) == " ".join([*map(str, range(1, 50)), "COMPLETED"])
    with pytest.raises(StopAsyncIteration):
        await anext(story)


async def test_many_watchers_of_one_task_hear_the_same(streaming: Streaming) -> None:
    watchers = [streaming.watching() for _ in range(20)]
    await streaming.say(0, "a")
    await streaming.end()
    heard = await asyncio.gather(*watchers)
    assert [words(entries) for entries in heard] == ["PENDING RUNNING a COMPLETED"] * 20


async def test_a_watcher_that_leaves_does_not_disturb_the_others_and_costs_nothing_any_more(
    streaming: Streaming, jumping: JumpingClock
) -> None:
    leaving, staying = streaming.watching(), streaming.watching()
    await jumping.advance(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    await streaming.say(0, "a")
    await streaming.end()
    assert words(await staying) == "PENDING RUNNING a COMPLETED"
    assert streaming.plane._watchers._bells == {}


async def test_a_watcher_is_woken_by_its_own_task_only(
    streaming: Streaming, plane: ControlPlane, jumping: JumpingClock
) -> None:
    pending = asyncio.ensure_future(anext(streaming.watch(2)))
    await plane.create([TaskSpec("other", "1")] * 3, "client:me")
    await jumping.advance(0)
    assert not pending.done()
    await streaming.end()
    assert words(await pending) == "COMPLETED"


async def test_an_unknown_task_cannot_be_watched(plane: ControlPlane) -> None:
    with pytest.raises(NotFound):
        await anext(plane.watch("unknown"))
    assert plane._watchers._bells == {}


async def test_watchers_end_when_the_control_plane_stops_and_say_why(
    streaming: Streaming, plane: ControlPlane, jumping: JumpingClock
) -> None:
    watcher = streaming.watching()
    await jumping.advance(0)
    await plane.stop()
    with pytest.raises(Unavailable):
        await watcher


async def test_a_watch_that_begins_after_the_stop_is_refused_once_it_would_have_to_wait(
    streaming: Streaming, plane: ControlPlane
) -> None:
    await plane.stop()
    story = streaming.watch()
    assert words(await anext(story)) == "PENDING RUNNING"
    with pytest.raises(Unavailable):
        await anext(story)


async def test_a_watcher_is_told_of_the_task_of_a_cancelled_waiting_task(plane: ControlPlane) -> None:
    [task] = await plane.create([TaskSpec("other", "1")], "client:me")
    assert isinstance(task, Task)
    story = plane.watch(task.id)
    assert words(await anext(story)) == "PENDING"
    await plane.cancel(task.id)
    assert words(await anext(story)) == "CANCELLED"


async def test_a_watcher_goes_on_over_a_store_that_failed_in_between(
    streaming: Streaming, plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    watcher = streaming.watching()
    await jumping.advance(0)
    store.fail_commits()
    await streaming.say(0, "lost with the turn")
    await jumping.advance(0)
    again = Peer(plane)
    await again.connect()
    await jumping.advance(0)
    await again.end(again.runs[0].run_id)
    assert words(await watcher) == "PENDING RUNNING PENDING RUNNING COMPLETED"
    assert (await plane.get(streaming.task_id)).status is TaskStatus.COMPLETED
