"""A worker's whole stream, as a control plane that has a task for it reads it: whatever it says, the rest goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import grpc

from fuzz.loop import breathe, in_the_loop
from fuzz.target import Target
from fuzz.wire import AGENT, HELLO, WORKER, framed, said_in_batches, said_one_by_one, unframed
from taskrun.adapters.grpc import access
from taskrun.adapters.grpc.codec_runs import encode_hello
from taskrun.adapters.grpc.run_service import RunService, StreamTimers
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.domain.errors import TaskRunError
from taskrun.domain.identity import Identity, Role
from taskrun.domain.records import StoryEntry, Task, TaskSpec
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import RecordingTelemetry
from taskrun.testing.invariants import check_story


class _Call:
    """The control plane's end of a stream on which a worker has said all this; then the worker ends it."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = list(reversed(frames))

    async def send_initial_metadata(self, metadata: object) -> None:
        """The beginning of the answer."""

    async def write(self, frame: bytes) -> None:
        """What a worker is told, and here nobody heeds."""

    async def read(self) -> object:
        """The next message, once the one before has had its effects."""
        await breathe()
        return self._frames.pop() if self._frames else grpc.aio.EOF


async def _take(case: bytes) -> None:
    ids = count(1)
    store = MemoryStore()
    plane = ControlPlane(
        store, JumpingClock(), lambda: f"id-{next(ids)}", RecordingTelemetry(), ControlPlaneTimers(silence=1e9)
    )
    await plane.start()
    [first] = await plane.create([TaskSpec(AGENT, '"one"', max_attempts=3)], "somebody")
    serve: Any = RunService(plane, StreamTimers()).handlers()["StreamConnect"].stream_stream
    access._CALLER.set(Identity(Role.WORKER, WORKER, 2**50, "1"))
    with suppress(TaskRunError):
        await serve(None, _Call(unframed(case)))
    [second] = await plane.create([TaskSpec(AGENT, '"two"')], "somebody")
    await breathe()
    assert plane.ready
    for task in (first, second):
        assert isinstance(task, Task)
        await _check(store, task.id)
    await plane.stop()
    await store.close()


async def _check(store: MemoryStore, task_id: str) -> None:
    task = await store.get(task_id)
    assert task is not None
    story: list[StoryEntry] = []
    while not story or story[-1].next_seq < task.next_seq:
        story += await store.story(task_id, story[-1].next_seq if story else 0, 1000)
    check_story(task, story)


_HELLO = encode_hello(HELLO, WORKER).SerializeToString()
_OLD = encode_hello(type(HELLO)(HELLO.info), "another").SerializeToString()

TARGET = Target(
    in_the_loop(_take),
    {
        "batches": framed([_HELLO, *said_in_batches()]),
        "one_by_one": framed([_OLD, *said_one_by_one()]),
        "one_by_one_new": framed([_HELLO, *said_one_by_one()]),
    },
)
