"""Control plane and workers together, when a certificate is revoked and when it is renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from loguru import logger

from taskrun.adapters.agents.function import FunctionAgent
from taskrun.domain.errors import TaskRunError, Unauthenticated
from taskrun.domain.records import OutputSegment, Task, TaskSpec
from taskrun.domain.status import FailureKind, TaskStatus
from taskrun.ports.agents import AgentRequest, AgentSink
from taskrun.testing.harness import Harness


class Teller:
    """An agent that says what it is told to, until it is told nothing more."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, request: AgentRequest, sink: AgentSink) -> None:
        while word := await self.words.get():
            await sink.text(word)


async def create(plane: Harness) -> Task:
    [task] = await plane.engine.create([TaskSpec("teller", "1")], "me")
    assert not isinstance(task, TaskRunError)
    await plane.settle()
    return task


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    written: list[str] = []
    sink = logger.add(written.append, level="WARNING", format="{message}")
    yield written
    logger.remove(sink)


async def test_an_expelled_worker_ends_and_its_run_is_another_s_at_once() -> None:
    async with Harness() as plane:
        one = await plane.start_worker("one", [FunctionAgent("teller", Teller())])
        task = await create(plane)
        await plane.start_worker("two", [FunctionAgent("teller", Teller())])
        plane.engine.expel("one")
        await plane.settle()
        assert isinstance(one.life.exception(), Unauthenticated)
        runs = (await plane.engine.get(task.id)).runs
        assert [(run.worker_id, run.failure) for run in runs] == [("one", FailureKind.WORKER_LOST), ("two", None)]


async def test_a_renewed_worker_goes_on_with_its_run_on_another_stream(warnings: list[str]) -> None:
    teller = Teller()
    async with Harness() as plane:
        worker = await plane.start_worker("one", [FunctionAgent("teller", teller)])
        task = await create(plane)
        for word in ("a", "b", "c"):
            teller.words.put_nowait(word)
            await plane.settle()
            link = worker.daemon._link
            worker.daemon.renewed()
            await plane.settle()
            assert worker.daemon.connected
            assert worker.daemon._link is not link
        teller.words.put_nowait("")
        await plane.settle()
        story = [entry.body async for entries in plane.engine.watch(task.id) for entry in entries]
        said = [text for body in story if isinstance(body, OutputSegment) for text in body.contents]
        done = await plane.engine.get(task.id)
    assert "".join(said) == "abc"
    assert (done.status, len(done.runs)) == (TaskStatus.COMPLETED, 1)
    assert warnings == []
