from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from taskrun.adapters.grpc.run_service import StreamTimers, _WorkerStream
from taskrun.domain.protocol import FromWorker, Hello
from taskrun.ports.control_plane import WorkerOutbox
from tests.adapters.grpc.raw import hello


class Gate:
    """A gateway that counts who is in."""

    def __init__(self) -> None:
        self.inside: set[int] = set()

    async def connect(self, worker_id: str, hello: Hello, outbox: WorkerOutbox) -> int:
        self.inside.add(1)
        return 1

    async def receive(self, session: int, messages: Sequence[FromWorker], size: int = 0) -> None:
        await asyncio.sleep(0)

    async def disconnect(self, session: int) -> None:
        self.inside.remove(session)


@pytest.mark.parametrize("rounds", range(12))
async def test_a_worker_whose_call_is_cancelled_at_any_moment_is_disconnected(rounds: int) -> None:
    """A peer that vanishes shows as the end of its messages and as a cancelled call, in any order."""
    messages: list[Any] = [hello().SerializeToString(), grpc.aio.EOF]

    async def read() -> Any:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def write(data: bytes) -> None:
        await asyncio.sleep(0)

    gate = Gate()
    context = cast(Any, SimpleNamespace(read=read, write=write))
    call = asyncio.create_task(_WorkerStream(gate, context, "atlas", StreamTimers()).run())
    for _ in range(rounds):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert gate.inside == set()
