from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from taskrun.adapters.local import link as local
from taskrun.adapters.local.link import LocalConnector
from taskrun.domain.errors import PermissionDenied, ProtocolViolation, TaskRunError, Unavailable
from taskrun.domain.protocol import CancelRun, FromWorker, Hello, HelloAck, RunReport, ToWorker
from taskrun.domain.records import WorkerInfo
from taskrun.domain.status import RunStatus
from taskrun.ports.control_plane import WorkerOutbox
from taskrun.ports.link import Link

HELLO = Hello(WorkerInfo())
CANCEL = CancelRun("r", "")


class Gateway:
    """Writes down what it is told, and welcomes whoever comes, unless it drains."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.draining = False
        self.outbox: WorkerOutbox

    async def connect(self, worker_id: str, hello: Hello, outbox: WorkerOutbox) -> int:
        if self.draining:
            raise Unavailable("draining")
        self.told.append((worker_id, hello))
        self.outbox = outbox
        outbox.send([HelloAck(worker_id)])
        return 7

    async def receive(self, session: int, messages: Sequence[FromWorker], size: int = 0) -> None:
        self.told.append((session, messages))

    async def disconnect(self, session: int) -> None:
        self.told.append((session, "gone"))


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


async def read_all(link: Link) -> tuple[list[ToWorker], TaskRunError]:
    """What comes until the stream is over, and how it ended."""
    messages: list[ToWorker] = []
    try:
        async for batch in link.incoming():
            messages += batch
    except TaskRunError as end:
        return messages, end
    raise AssertionError("A stream ends with its reason.")


async def test_a_hello_reaches_the_gateway_under_the_workers_id(gateway: Gateway) -> None:
    await LocalConnector(gateway, "w").connect(HELLO)
    assert gateway.told == [("w", HELLO)]


async def test_a_gateway_that_refuses_is_unavailable(gateway: Gateway) -> None:
    gateway.draining = True
    with pytest.raises(Unavailable):
        await LocalConnector(gateway, "w").connect(HELLO)


async def test_what_is_sent_arrives_as_one_batch(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    reports = [RunReport("r", RunStatus.RUNNING), RunReport("r", RunStatus.COMPLETED)]
    await link.send(reports)
    assert gateway.told[1:] == [(7, reports)]


async def test_what_gathers_comes_in_order_in_one_go(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    incoming = link.incoming()
    gateway.outbox.send([CANCEL])
    assert await anext(incoming) == [HelloAck("w"), CANCEL]
    gateway.outbox.send([])
    gateway.outbox.send([CANCEL])
    assert await anext(incoming) == [CANCEL]


async def test_a_reader_waits_for_what_comes(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    incoming = link.incoming()
    await anext(incoming)
    waiting = asyncio.ensure_future(anext(incoming))
    await asyncio.sleep(0)
    assert not waiting.done()
    gateway.outbox.send([CANCEL])
    assert await waiting == [CANCEL]


async def test_what_was_queued_is_read_before_the_end(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    gateway.outbox.send([CANCEL])
    gateway.outbox.close(PermissionDenied("revoked"))
    gateway.outbox.close(Unavailable("too late"))
    gateway.outbox.send([CANCEL])
    messages, end = await read_all(link)
    assert messages == [HelloAck("w"), CANCEL]
    assert isinstance(end, PermissionDenied)


async def test_an_end_of_any_other_kind_is_unavailable_with_its_message(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    gateway.outbox.close(ProtocolViolation("two hellos"))
    _, end = await read_all(link)
    assert isinstance(end, Unavailable)
    assert end.message == "two hellos"


async def test_nothing_can_be_sent_after_the_end(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    gateway.outbox.close(Unavailable("over"))
    with pytest.raises(Unavailable, match="over"):
        await link.send([RunReport("r", RunStatus.RUNNING)])


async def test_a_worker_that_does_not_read_is_cut(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_UNREAD", 3)
    link = await LocalConnector(gateway, "w").connect(HELLO)
    gateway.outbox.send([CANCEL, CANCEL, CANCEL])
    messages, end = await read_all(link)
    assert messages == []
    assert isinstance(end, Unavailable)


async def test_closing_tells_the_gateway_once(gateway: Gateway) -> None:
    link = await LocalConnector(gateway, "w").connect(HELLO)
    await link.close()
    await link.close()
    assert gateway.told[1:] == [(7, "gone")]
    _, end = await read_all(link)
    assert isinstance(end, Unavailable)


async def test_a_cut_breaks_both_sides_and_what_is_unread_is_gone(gateway: Gateway) -> None:
    connector = LocalConnector(gateway, "w")
    await connector.cut()
    link = await connector.connect(HELLO)
    await connector.cut()
    assert gateway.told[1:] == [(7, "gone")]
    messages, end = await read_all(link)
    assert messages == []
    assert isinstance(end, Unavailable)
    with pytest.raises(Unavailable):
        await link.send([RunReport("r", RunStatus.RUNNING)])
