"""A thousand workers on one control plane, each with a certificate and a connection of its own."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import psutil
import pytest

from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.link import GrpcConnector, GrpcLink
from taskrun.domain.errors import Unavailable
from taskrun.domain.protocol import FEATURES, AssignRun, FromWorker, Heartbeat, Hello, RunReport
from taskrun.domain.records import AgentSpec, Task, TaskQuery, TaskSpec, WorkerInfo
from taskrun.domain.status import RunStatus, TaskStatus, WorkerStatus
from tests.adapters.grpc.certificates import always
from tests.system.site import PATIENCE, Site

WORKERS, TASKS, AGENTS = 1_000, 10_000, 10
#: Of open files, for whoever does nothing about it: fewer than a thousand connections.
USUAL_FILE_LIMIT = 1_024
#: Promised: kB by which the control plane grows for each of them.
KB_A_WORKER = 130
#: Handshakes under way at once; a server takes about 200 a second.
AT_ONCE = 50


class SimulatedWorker:
    """Does every run at once, and notes which it was given."""

    def __init__(self, link: GrpcLink) -> None:
        self._link = link
        #: (task id, run id) of each.
        self.given: list[tuple[str, str]] = []

    async def offer(self, slots: int) -> None:
        """Says how many runs it takes from now on."""
        await self._link.send([Heartbeat(WorkerStatus.IDLE, 0, slots)])

    async def work(self) -> None:
        """Until the link is closed."""
        async for orders in self._link.incoming():
            reports: list[FromWorker] = []
            for order in orders:
                if isinstance(order, AssignRun):
                    self.given.append((order.task_id, order.run_id))
                    reports += [RunReport(order.run_id, status) for status in (RunStatus.RUNNING, RunStatus.COMPLETED)]
            if reports:
                await self._link.send(reports)


def agent(number: int) -> str:
    return f"agent-{number % AGENTS}"


@dataclass(frozen=True, slots=True)
class Census:
    """What was counted."""

    connected: int
    #: Kilobytes by which the control plane had grown when all were connected and had nothing to do.
    growth_kb: float
    created: set[str]
    #: The (task id, run id) of every run that any worker was given.
    given: list[tuple[str, str]]
    #: Every task, as listed in the end.
    listed: list[Task]


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Census:
    """One crowd for all tests."""
    with the_usual_file_limit(), Site(tmp_path_factory.mktemp("crowd")) as site:
        # A busy machine must not make workers look silent or slow.
        site.start_plane("--silence-timeout", "5m", "--start-timeout", "5m")
        # The workers, all in this process, are helped.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return asyncio.run(taken_in(site))


@contextmanager
def the_usual_file_limit() -> Iterator[None]:
    """A control plane that is started in here has to help itself to the files it needs."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_FILE_LIMIT, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def taken_in(site: Site) -> Census:
    plane = psutil.Process(site.plane.pid)
    before = plane.memory_info().rss
    async with AsyncClient(site.grpc_addr, site.admin()) as client, connected_workers(site) as workers:
        await settled(lambda: heard_of_all(client))
        connected, growth = len(await client.workers()), plane.memory_info().rss - before
        tasks = await asyncio.gather(*(client.create(TaskSpec(agent(number), "null")) for number in range(TASKS)))
        assert {task.status for task in tasks} == {TaskStatus.PENDING}
        await asyncio.gather(*(worker.offer(10) for worker in workers))
        await settled(lambda: nothing_is_left(client))
        given = [run for worker in workers for run in worker.given]
        return Census(connected, growth / 1000, {task.id for task in tasks}, given, await everything(client))


async def heard_of_all(client: AsyncClient) -> bool:
    """Whether every worker is known, and the word with which it began has arrived."""
    workers = await client.workers()
    return len(workers) == WORKERS and all(worker.last_heartbeat_ms for worker in workers)


async def nothing_is_left(client: AsyncClient) -> bool:
    """Whether no task waits or runs."""
    waits = await client.find(TaskQuery(TaskStatus.PENDING, limit=1))
    runs = await client.find(TaskQuery(TaskStatus.RUNNING, limit=1))
    return not waits.tasks and not runs.tasks


async def settled(check: Callable[[], Awaitable[bool]]) -> None:
    """Returns once the check holds."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110  # what another process knows rings no bell here
            await asyncio.sleep(0.1)


async def everything(client: AsyncClient) -> list[Task]:
    """All tasks, page by page."""
    page = await client.find(TaskQuery(limit=1000))
    tasks = [*page.tasks]
    while page.next_page_token:
        page = await client.find(TaskQuery(limit=1000, page_token=page.next_page_token))
        tasks += page.tasks
    return tasks


@asynccontextmanager
async def connected_workers(site: Site) -> AsyncIterator[list[SimulatedWorker]]:
    """All of them, connected; they take no run yet."""
    handshakes = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def connect(number: int) -> SimulatedWorker:
            info = WorkerInfo("simulated", "1", (AgentSpec(agent(number)),))
            connector = GrpcConnector(site.grpc_addr, always(site.identity(f"worker-{number}")))
            async with handshakes:
                link = await connector.connect(Hello(info, frozenset(FEATURES)))
                worker = SimulatedWorker(link)
                await worker.offer(0)
            working = asyncio.create_task(worker.work())
            stack.push_async_callback(ended, working)
            stack.push_async_callback(link.close)
            return worker

        yield await asyncio.gather(*map(connect, range(WORKERS)))


async def ended(working: asyncio.Task[None]) -> None:
    """Its link is closed."""
    working.cancel()
    with suppress(asyncio.CancelledError, Unavailable):
        await working


def test_a_thousand_workers_connect(census: Census) -> None:
    assert census.connected == WORKERS


def test_a_connected_worker_costs_the_control_plane_at_most_130_kb(census: Census) -> None:
    assert census.growth_kb / WORKERS <= KB_A_WORKER


def test_ten_thousand_waiting_tasks_are_all_done(census: Census) -> None:
    assert {task.id for task in census.listed} == census.created
    assert {task.status for task in census.listed} == {TaskStatus.COMPLETED}


def test_none_of_them_is_done_twice(census: Census) -> None:
    assert len(census.given) == TASKS
    assert sorted(census.given) == sorted((task.id, run.id) for task in census.listed for run in task.runs)
    assert {task_id for task_id, _ in census.given} == census.created
