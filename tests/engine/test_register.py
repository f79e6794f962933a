"""Certificates that no control plane has issued are listed: from the ledger, or once somebody has called with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.domain.certificates.certificate import Certificate, CertificateQuery, Revocation
from taskrun.domain.errors import StoreFailed, TaskRunError, Unauthenticated
from taskrun.domain.identity import Identity, Role
from taskrun.engine.gate import Gate
from taskrun.engine.register import AGAIN, LOOK, Register
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import RecordingTelemetry

BEGIN = 1_700_000_000_000
LIFE_MS = 60_000


class Certificates(MemoryCertificateStore):
    """Can be away, and counts what it is asked."""

    failure: Exception | None = None
    asked = 0

    async def has(self, serial: str) -> bool:
        self.asked += 1
        if self.failure:
            raise self.failure
        return await super().has(serial)


class Scene:
    def __init__(self, clock: JumpingClock, telemetry: RecordingTelemetry, most: int = 3) -> None:
        self.clock, self.store = clock, Certificates()
        self.gate = Gate(self.store, clock, telemetry, lambda worker_id: None)
        self.signed: list[Identity] = []
        self.unreadable = False
        self.register = Register(self.gate, self.store, self, clock, most)

    async def news(self) -> list[Identity]:
        """As a ledger has it."""
        if self.unreadable:
            raise ValueError("a bug")
        told, self.signed = self.signed, []
        return told

    async def listed(self) -> list[Certificate]:
        await self.clock.advance(0)
        return list((await self.store.find(CertificateQuery(limit=5_000))).certificates)


def peer(serial: str = "c1", name: str = "ann", role: Role = Role.READ) -> Identity:
    return Identity(role, name, BEGIN + LIFE_MS, serial, BEGIN - 5_000)


def recorded(peer: Identity) -> Certificate:
    return Certificate(peer.serial, peer.owner, peer.issued_at_ms, peer.not_after_ms)


@pytest.fixture
async def scene(jumping: JumpingClock, telemetry: RecordingTelemetry) -> AsyncIterator[Scene]:
    scene = Scene(jumping, telemetry)
    scene.register.start()
    scene.register.start()
    yield scene
    await scene.register.stop()
    await scene.register.stop()


@pytest.mark.parametrize("caller", [peer(), peer("d1", "local", Role.WORKER)])
async def test_whoever_calls_with_a_certificate_that_is_not_listed_gets_it_listed_once(
    scene: Scene, caller: Identity
) -> None:
    for _ in range(3):
        scene.register.admit(caller)
    assert await scene.listed() == [recorded(caller)]
    assert scene.store.asked == 1


async def test_one_that_was_recorded_when_it_was_issued_stays_as_it_is(scene: Scene) -> None:
    issued = Certificate("c1", "client:ann", BEGIN - 4_321, BEGIN + LIFE_MS)
    scene.store.record(issued)
    scene.register.admit(peer())
    assert await scene.listed() == [issued]


async def test_who_is_not_let_in_is_not_listed(scene: Scene) -> None:
    await scene.store.revoke(Revocation(BEGIN, serial="c1"))
    await scene.gate.learn()
    with pytest.raises(Unauthenticated):
        scene.register.admit(peer())
    assert await scene.listed() == []


async def test_one_that_is_revoked_before_it_is_listed_is_not(scene: Scene) -> None:
    scene.register.admit(peer())
    await scene.store.revoke(Revocation(BEGIN, owner="client:ann"))
    assert await scene.listed() == []


async def test_a_store_that_is_away_is_asked_again_until_it_is_back(scene: Scene) -> None:
    scene.store.failure = StoreFailed("away")
    scene.register.admit(peer())
    scene.register.admit(peer("c2", "bob"))
    await scene.clock.advance(3 * AGAIN)
    assert scene.store.asked == 4
    scene.store.failure = None
    await scene.clock.advance(AGAIN)
    assert await scene.listed() == [recorded(peer()), recorded(peer("c2", "bob"))]


async def test_one_that_ends_meanwhile_is_not_listed_any_more(scene: Scene) -> None:
    scene.store.failure = StoreFailed("away")
    scene.register.admit(peer())
    await scene.clock.advance(LIFE_MS / 1000)
    scene.store.failure = None
    await scene.clock.advance(AGAIN)
    assert await scene.listed() == []


async def test_a_bug_costs_one_and_not_the_next(scene: Scene) -> None:
    scene.store.failure = KeyError("a bug")
    scene.register.admit(peer())
    await scene.clock.advance(0)
    scene.store.failure = None
    scene.register.admit(peer("c2", "bob"))
    assert await scene.listed() == [recorded(peer("c2", "bob"))]


async def test_no_more_wait_than_may_and_whoever_comes_again_is_listed_then(scene: Scene) -> None:
    callers = [peer(f"c{number}") for number in range(5)]
    for caller in callers:
        scene.register.admit(caller)
    assert await scene.listed() == list(map(recorded, callers[:3]))
    for caller in callers:
        scene.register.admit(caller)
    assert await scene.listed() == list(map(recorded, callers))


async def test_no_more_are_remembered_than_may(scene: Scene) -> None:
    for number in range(10):
        scene.register.admit(peer(f"c{number}"))
        await scene.clock.advance(0)
    assert len(scene.register._seen) == 3


async def test_what_was_signed_beside_the_ca_is_listed_though_nobody_has_called(scene: Scene) -> None:
    scene.signed = [peer(f"c{number}") for number in range(5)]
    await scene.clock.advance(LOOK)
    scene.register.admit(peer("c0"))
    assert await scene.listed() == [recorded(peer(f"c{number}")) for number in range(5)]


async def test_a_ledger_that_cannot_be_read_is_read_later(scene: Scene) -> None:
    scene.unreadable, scene.signed = True, [peer()]
    await scene.clock.advance(LOOK)
    assert await scene.listed() == []
    scene.unreadable = False
    await scene.clock.advance(LOOK)
    assert await scene.listed() == [recorded(peer())]


async def test_streams_are_the_gates(scene: Scene) -> None:
    faults: list[TaskRunError] = []
    with ExitStack() as stream:
        stream.enter_context(scene.register.present(peer(), faults.append))
        await scene.clock.advance(LIFE_MS / 1000)
    assert [type(fault) for fault in faults] == [Unauthenticated]
