"""Clients and workers that know several control planes of one store, over mutual TLS with two real servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest

from taskrun.adapters.grpc import options
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.client import Client
from taskrun.adapters.grpc.link import GrpcConnector
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.domain.errors import InvalidArgument, NotFound, TaskRunError, Unavailable
from taskrun.domain.limits import RETRY_KEY
from taskrun.domain.protocol import Hello
from taskrun.domain.records import StoryEntry, Task, TaskChange, TaskQuery, TaskSpec, WorkerInfo
from taskrun.domain.status import TaskStatus
from tests.adapters.grpc.certificates import MiniCa, always
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.stubs import PATIENCE

T = TypeVar("T")

SPEC = TaskSpec("general", "1")
STORY = [[StoryEntry(seq, 1, TaskChange(TaskStatus.PENDING))] for seq in range(4)]
DEAD = "https://[::1]:1"


def in_order() -> float:
    """The chance with which everything stays in its order."""
    return 0.99


@dataclass
class Site:
    """Two control planes with one certificate authority. `addresses` are tried in this order."""

    ca: MiniCa
    planes: list[Plane] = field(default_factory=list)
    servers: list[GrpcServer] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        return [plane.address for plane in self.planes]

    async def stop(self, number: int) -> None:
        """This one dies with all calls that it serves."""
        await self.servers[number].stop(0)


@pytest.fixture
async def site(ca: MiniCa) -> AsyncIterator[Site]:
    site = Site(ca)
    for _ in range(2):
        plane = Plane(ca)
        plane.tasks.tasks["t-0"] = Task("t-0", SPEC, TaskStatus.PENDING, "cli", 1)
        plane.tasks.story = [*STORY]
        site.servers.append(plane.server())
        plane.port = await site.servers[-1].start()
        site.planes.append(plane)
    yield site
    for server in site.servers:
        await server.stop(0)


class Threaded:
    """A `Client` with the methods of an `AsyncClient`: each of its calls blocks a thread, not the loop."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._client = Client(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return partial(asyncio.to_thread, getattr(self._client, name))

    @property
    def address(self) -> object:
        return self._client.address

    async def create(self, spec: TaskSpec) -> Task:
        [answer] = await asyncio.to_thread(self._client.create, [spec])
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncIterator[Any]:
        return self._steps(self._client.watch(task_id, from_seq))

    def create_and_watch(self, spec: TaskSpec) -> AsyncIterator[Any]:
        return self._steps(self._client.create_and_watch(spec))

    async def _steps(self, steps: Any) -> AsyncIterator[Any]:
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            yield step


@pytest.fixture(params=[AsyncClient, Threaded])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


Connect = Callable[..., Any]


@pytest.fixture
def connect(kind: Any, ca: MiniCa) -> Connect:
    """Makes a client of either kind, which tries its addresses in their order."""

    @asynccontextmanager
    async def connected(*addresses: str, timeout: float = PATIENCE) -> AsyncIterator[Any]:
        client = kind(addresses, ca.client(), timeout, in_order)
        try:
            yield client
        finally:
            await client.close()

    return connected


#: Every call that a client can make, by what it may be asked twice.
READS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "get": lambda client: client.get("t-0"),
    "find": lambda client: client.find(TaskQuery()),
    "explain": lambda client: client.explain("t-0"),
    "workers": lambda client: client.workers(),
    "worker": lambda client: client.worker("w-1"),
}
CREATES: dict[str, Callable[[Any], Awaitable[object]]] = {
    "create": lambda client: client.create(SPEC),
    "continue_task": lambda client: client.continue_task("t-0", "more"),
}
ONCE: dict[str, Callable[[Any], Awaitable[object]]] = {
    "cancel": lambda client: client.cancel("t-0"),
    "create_token": lambda client: client.create_token("w-5"),
}
ALL = READS | CREATES | ONCE
#: Those of them that are the control plane's port for tasks to answer.
TASK_CALLS = "get find explain cancel create continue_task"


# Nobody was reached.


@pytest.mark.parametrize("call", ALL)
async def test_a_call_that_reached_nobody_goes_on_to_the_next(site: Site, connect: Connect, call: str) -> None:
    async with connect(DEAD, site.addresses[1]) as client:
        assert await ALL[call](client)
        assert str(client.address) == site.addresses[1]


@pytest.mark.parametrize("call", ALL)
async def test_a_control_plane_that_is_not_ready_counts_as_one_that_was_not_reached(
    site: Site, connect: Connect, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_ready(*_: object, **__: object) -> None:
        raise Unavailable("The control plane is shutting down.")

    def not_ready_at_once(*_: object) -> None:
        raise Unavailable("The control plane is shutting down.")

    first = site.planes[0]
    for part, names in (
        (first.tasks, TASK_CALLS),
        (first.enrollment, "create_token"),
    ):
        for name in names.split():
            monkeypatch.setattr(part, name, not_ready)
    for name in ("workers", "worker"):
        monkeypatch.setattr(first.workers, name, not_ready_at_once)
    async with connect(*site.addresses) as client:
        assert await ALL[call](client)
        assert str(client.address) == site.addresses[1]


async def test_it_stays_with_the_one_that_answers(site: Site, connect: Connect) -> None:
    async with connect(DEAD, *reversed(site.addresses)) as client:
        for _ in range(3):
            await client.find(TaskQuery())
    assert [len(plane.tasks.queries) for plane in site.planes] == [0, 3]


async def test_what_is_refused_by_one_is_asked_of_no_other(site: Site, connect: Connect) -> None:
    del site.planes[0].tasks.tasks["t-0"]
    async with connect(*site.addresses) as client:
        with pytest.raises(NotFound):
            await client.get("t-0")


async def test_when_all_fail_one_line_names_each_and_says_why(site: Site, connect: Connect) -> None:
    site.planes[0].tasks.find = _not_ready  # type: ignore[method-assign]
    await site.stop(1)
    async with connect(DEAD, *site.addresses) as client:
        with pytest.raises(Unavailable) as caught:
            await client.find(TaskQuery())
    first, second = site.addresses
    assert caught.value.message == (
        f"No control plane can be reached: {DEAD}: nothing listens there; {first}: Not ready; "
        f"{second}: nothing listens there."
    )


async def _not_ready(query: TaskQuery) -> Any:
    raise Unavailable("Not ready.")


async def test_after_a_round_of_failures_the_next_call_tries_all_again(site: Site, connect: Connect) -> None:
    site.planes[0].tasks.find = _not_ready  # type: ignore[method-assign]
    async with connect(site.addresses[0], DEAD) as client:
        for _ in range(2):
            with pytest.raises(Unavailable, match="Not ready; "):
                await client.find(TaskQuery())
        assert await client.get("t-0")


async def test_the_name_is_checked_at_each_address(site: Site, connect: Connect, ca: MiniCa) -> None:
    other = Plane(ca)
    other.tls = ca.server("control.example.com")
    other.identify = lambda pem: pytest.fail("It was believed.")
    server = other.server()
    other.port = await server.start()
    async with connect(other.address, DEAD) as client:
        with pytest.raises(Unavailable, match=f"{other.port}: its certificate is for another name; "):
            await client.get("t-0")
    async with connect(other.address, site.addresses[0]) as client:
        assert await client.get("t-0")
    await server.stop(0)


# Nobody knows what became of it.


async def lost(site: Site, call: Awaitable[T]) -> T:
    """What becomes of a call whose control plane dies while it does it."""
    asked = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    first = site.planes[0]
    for part, names in (
        (first.tasks, TASK_CALLS),
        (first.enrollment, "create_token"),
    ):
        for name in names.split():
            setattr(part, name, hang)
    asking = asyncio.ensure_future(call)
    async with asyncio.timeout(PATIENCE):
        await asked.wait()
        await site.stop(0)
        return await asking


@pytest.mark.parametrize("call", ["get", "find", "explain", *CREATES])
async def test_where_it_makes_no_difference_a_call_that_was_lost_is_repeated(
    site: Site, connect: Connect, call: str
) -> None:
    async with connect(*site.addresses) as client:
        assert await lost(site, ALL[call](client))


@pytest.mark.parametrize("call", ONCE)
async def test_a_call_that_may_have_been_done_is_not_done_again(site: Site, connect: Connect, call: str) -> None:
    async with connect(*site.addresses) as client:
        with pytest.raises(Unavailable, match=r"it was stopped\. It may have been done, so no other was asked\.$"):
            await lost(site, ALL[call](client))
        assert str(client.address) == site.addresses[0]


async def test_a_task_without_a_key_gets_one_that_is_the_same_wherever_it_is_created(
    site: Site, connect: Connect
) -> None:
    asked: list[TaskSpec] = []
    creating = site.planes[0].tasks.create

    async def note(specs: Sequence[TaskSpec], created_by: str) -> Sequence[Task | TaskRunError]:
        asked.extend(specs)
        await creating(specs, created_by)
        raise Unavailable("The control plane is shutting down.")

    site.planes[0].tasks.create = note  # type: ignore[method-assign]
    async with connect(*site.addresses) as client:
        await client.create(SPEC)
        await client.create(SPEC)
    [there, other] = [spec for spec, _ in site.planes[1].tasks.created]
    assert asked[0] == there
    assert there.idempotency_key
    assert there.idempotency_key < other.idempotency_key


async def test_a_message_gets_such_a_key_too_and_its_own_is_kept(site: Site, connect: Connect) -> None:
    async with connect(*site.addresses) as client:
        await client.continue_task("t-0", "more")
        await client.continue_task("t-0", "more", idempotency_key="mine")
    async with connect(site.addresses[0]) as client:
        await client.continue_task("t-0", "more")
    made, own, none = [key for *_, key in site.planes[0].tasks.messages]
    assert (made.startswith(RETRY_KEY), own, none) == (True, "mine", "")


async def test_a_tasks_own_key_is_kept_and_with_one_address_none_is_made(site: Site, connect: Connect) -> None:
    async with connect(*site.addresses) as client:
        await client.create(TaskSpec("general", "1", idempotency_key="mine"))
    async with connect(site.addresses[0]) as client:
        await client.create(SPEC)
    assert [spec.idempotency_key for spec, _ in site.planes[0].tasks.created] == ["mine", ""]


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections, and says nothing."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        yield f"[::1]:{server.getsockname()[1]}"


async def test_one_that_is_silent_leaves_time_for_the_others(site: Site, connect: Connect, silent: str) -> None:
    async with connect(silent, site.addresses[1], timeout=3.0) as client:
        assert await client.get("t-0")


async def test_one_that_is_silent_is_left_before_the_call_is_sent(
    site: Site, connect: Connect, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "_ONE_OF_SEVERAL", (("grpc.min_reconnect_backoff_ms", 1_000),))
    async with connect(silent, site.addresses[1]) as client:
        assert await client.cancel("t-0")


async def test_a_call_that_got_no_answer_in_its_time_may_have_been_done(site: Site, connect: Connect) -> None:
    first = site.planes[0].tasks
    first.gate.clear()

    async def cancel(task_id: str) -> Task:
        await first.gate.wait()
        return first.tasks[task_id]

    first.cancel = cancel  # type: ignore[method-assign]
    async with connect(*site.addresses, timeout=0.6) as client:
        with pytest.raises(Unavailable, match=r"in time\. It may have been done"):
            await client.cancel("t-0")
    first.gate.set()


# Stories.


async def test_a_watch_goes_on_at_another_behind_the_last_that_it_has_seen(site: Site, connect: Connect) -> None:
    first, second = (plane.tasks for plane in site.planes)
    first.story, first.goes_on = [*STORY[:2]], True
    seen: list[int] = []
    async with connect(*site.addresses) as client, asyncio.timeout(PATIENCE):
        async for entries in client.watch("t-0"):
            seen += [entry.seq for entry in entries]
            if seen == [0, 1]:
                await site.stop(0)
    assert seen == [0, 1, 2, 3]
    assert (first.watchers, second.watchers) == (0, 0)


async def test_a_watch_that_loses_all_says_of_each_why(site: Site, connect: Connect) -> None:
    site.planes[0].tasks.story, site.planes[0].tasks.goes_on = [*STORY[:1]], True
    async with connect(site.addresses[0], DEAD) as client, asyncio.timeout(PATIENCE):
        watching = client.watch("t-0")
        assert await anext(watching) == tuple(STORY[0])
        await site.stop(0)
        with pytest.raises(Unavailable, match=r"0: the connection broke|it was stopped; .*: nothing listens there\.$"):
            await anext(watching)


async def test_who_creates_and_watches_goes_on_watching_at_another(site: Site, connect: Connect) -> None:
    first, second = (plane.tasks for plane in site.planes)
    first.tasks.clear()
    first.story, first.goes_on = [*STORY[:2]], True
    steps: list[object] = []
    async with connect(*site.addresses) as client, asyncio.timeout(PATIENCE):
        async for step in client.create_and_watch(SPEC):
            steps += [step.id] if isinstance(step, Task) else [entry.seq for entry in step]
            if steps == ["t-0", 0, 1]:
                await site.stop(0)
    assert steps == ["t-0", 0, 1, 2, 3]
    assert (len(first.created), len(second.created)) == (1, 0)


async def test_who_creates_and_watches_and_hears_nothing_creates_the_same_at_another(
    site: Site, connect: Connect
) -> None:
    async def all_of(client: Any) -> list[Any]:
        return [step async for step in client.create_and_watch(SPEC)]

    async with connect(*site.addresses) as client:
        task, *story = await lost(site, all_of(client))
    assert (task.id, story) == ("t-1", [tuple(entries) for entries in STORY])
    [(spec, _)] = site.planes[1].tasks.created
    assert spec.idempotency_key


# Who there is to ask.


async def test_several_addresses_can_be_one_text(site: Site, kind: Any) -> None:
    client = kind(f"{DEAD}, {site.addresses[0]} {DEAD}", site.ca.client(), PATIENCE, in_order)
    assert await client.get("t-0")
    await client.close()


async def test_chance_spreads_the_clients_over_the_addresses(site: Site, kind: Any) -> None:
    for chance in (0.0, 0.99):
        client = kind(site.addresses, site.ca.client(), PATIENCE, lambda chance=chance: chance)
        await client.find(TaskQuery())
        await client.close()
    by_itself = kind(site.addresses, site.ca.client())
    await by_itself.find(TaskQuery())
    await by_itself.close()
    asked = [len(plane.tasks.queries) for plane in site.planes]
    assert sorted(asked) == [1, 2]


@pytest.mark.parametrize("addresses", ["", " , ", [], ["https://[::1]:1", "x y://"]])
async def test_what_is_no_list_of_addresses_is_refused(kind: Any, ca: MiniCa, addresses: Any) -> None:
    with pytest.raises(InvalidArgument):
        kind(addresses, ca.client())


# A worker's connector is for one of them.


async def test_a_connector_says_whose_word_it_is(site: Site) -> None:
    site.planes[0].gateway.refusal = Unavailable("The control plane is shutting down.")
    connector = GrpcConnector(site.addresses[0], always(site.ca.worker()))
    assert str(connector) == site.addresses[0]
    with pytest.raises(Unavailable, match=f"{site.planes[0].port}: The control plane is shutting down.$"):
        await connector.connect(Hello(WorkerInfo()))
