"""What control planes tell each other: their workers, and that there is news."""

from __future__ import annotations

from taskrun.domain.relayed import RelayedMessage
from taskrun.domain.status import WorkerStatus
from taskrun.ports.peers import Call
from taskrun.ports.store import AnswerMessage, Batch, RelayCancel
from taskrun.testing.contracts.peers_cases import Ear, SharedStore, message, view
from taskrun.testing.contracts.store_cases import GENERAL, RUNNING, change, make_task, moved, task_id, tell


class ShownWorkersContract:
    """Each sees the workers of the others."""

    async def test_each_sees_the_workers_of_the_others(self, a: SharedStore, b: SharedStore) -> None:
        assert (await a.peers.meet([view("w1"), view("w2")])).workers == []
        assert (await b.peers.meet([view("w3")])).workers == [view("w1"), view("w2")]
        busy = view("w2", WorkerStatus.BUSY, runs=1)
        assert (await a.peers.meet([busy])).workers == [view("w3")]
        assert (await b.peers.meet([])).workers == [busy]
        assert (await a.peers.meet([])).workers == (await b.peers.meet([])).workers == []

    async def test_the_workers_of_one_that_died_are_no_longer_seen(self, a: SharedStore, b: SharedStore) -> None:
        await a.peers.meet([view("w1")])
        await a.close()
        meeting = await b.peers.meet([])
        assert (meeting.others, meeting.workers) == (True, [])
        assert not (await b.peers.meet([])).others

    async def test_who_begins_again_shows_its_workers_anew(self, a: SharedStore, b: SharedStore) -> None:
        await a.peers.meet([view("w1")])
        await a.recover()
        assert (await b.peers.meet([])).workers == []
        await a.peers.meet([view("w1")])
        assert (await b.peers.meet([])).workers == [view("w1")]


class CallsContract:
    """What is stored is called out, and what others want to know."""

    async def test_what_one_stores_it_calls_out(self, a: SharedStore, ear: Ear) -> None:
        await tell(a, make_task(1), change(0))
        calls = [await ear.next(), await ear.next()]
        assert calls == [Call(stories=(task_id(1),)), Call(waiting={GENERAL: 1})]
        await tell(a, moved(make_task(1), RUNNING), change(1))
        assert await ear.next() == Call(stories=(task_id(1),))
        answer = AnswerMessage(RelayedMessage(1, "m", task_id(1), "run-1", "more"))
        for news in (RelayCancel(task_id(1)), message(1, "m"), answer):
            await a.commit(Batch(asks=[news]))
            assert await ear.next() == Call(meet=True)

    async def test_who_begins_and_whose_workers_come_or_go_calls_the_others_together(
        self, a: SharedStore, ear: Ear
    ) -> None:
        await a.recover()
        assert await ear.next() == Call(meet=True)
        await a.peers.meet([view("w1")])
        assert await ear.next() == Call(meet=True)
        await a.peers.meet([view("w1", WorkerStatus.BUSY)])
        await a.peers.meet([view("w1", WorkerStatus.DISCONNECTED)])
        assert await ear.next() == Call(meet=True)
        await tell(a, make_task(1, RUNNING), change(0))
        assert await ear.next() == Call(stories=(task_id(1),))
