"""Renewing, listing and revoking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.domain.certificates.certificate import Certificate, CertificateQuery
from taskrun.domain.certificates.life import RETRY_MS
from taskrun.domain.certificates.pace import AT_ONCE
from taskrun.domain.errors import InvalidArgument, ResourceExhausted, StoreFailed, Unauthenticated
from taskrun.domain.identity import Identity, Role
from taskrun.engine.certificates import Certificates
from taskrun.testing.clock import JumpingClock
from tests.engine.test_enrollment import BAD_CSR, CSR, StubAuthority


class Scene:
    def __init__(self) -> None:
        self.clock = JumpingClock()
        self.store = MemoryCertificateStore()
        self.authority = StubAuthority()
        self.certificates = Certificates(self.authority, self.store, self.clock, self._learn)
        self.learnt = 0
        self.deaf = False

    async def _learn(self) -> None:
        self.learnt += 1
        if self.deaf:
            raise StoreFailed("away")

    @property
    def now_ms(self) -> int:
        return self.clock.now().utc_ms

    def peer(self, name: str = "w-1", serial: str = "a1") -> Identity:
        return Identity(Role.WORKER, name, self.now_ms + 1_000, serial, self.now_ms - 5_000)

    async def listed(self, **query: object) -> list[Certificate]:
        return list((await self.certificates.find(CertificateQuery(**query))).certificates)  # type: ignore[arg-type]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_renewed_certificate_is_for_who_asks_and_is_recorded(scene: Scene) -> None:
    assert await scene.certificates.renew(scene.peer(), CSR) == b"certificate 1 of a request"
    assert scene.authority.signed == ["w-1"]
    assert await scene.listed() == [Certificate("1f", "worker:w-1", scene.now_ms, 0)]


async def test_a_request_that_would_not_be_signed_is_refused(scene: Scene) -> None:
    with pytest.raises(InvalidArgument):
        await scene.certificates.renew(scene.peer(), BAD_CSR)
    assert await scene.listed() == []


async def test_what_was_revoked_is_not_renewed_though_the_gate_has_not_heard_of_it(scene: Scene) -> None:
    await scene.certificates.revoke_serial("A1")
    with pytest.raises(Unauthenticated, match="revoked"):
        await scene.certificates.renew(scene.peer(), CSR)
    assert await scene.listed() == []


async def test_a_worker_that_renews_without_end_is_told_to_wait_and_others_are_not(scene: Scene) -> None:
    for _ in range(AT_ONCE):
        await scene.certificates.renew(scene.peer(), CSR)
    with pytest.raises(ResourceExhausted, match="w-1 renews too often"):
        await scene.certificates.renew(scene.peer(), CSR)
    await scene.certificates.renew(scene.peer("w-2", "b1"), CSR)
    assert scene.authority.signed.count("w-1") == AT_ONCE
    await scene.clock.advance(RETRY_MS / 1000)
    await scene.certificates.renew(scene.peer(), CSR)


async def test_a_worker_is_revoked_with_all_that_it_has(scene: Scene) -> None:
    await scene.certificates.renew(scene.peer(), CSR)
    [marked] = await scene.certificates.revoke_worker("w-1")
    assert marked == Certificate("1f", "worker:w-1", scene.now_ms, 0, scene.now_ms)
    assert await scene.listed() == [marked]
    assert scene.learnt == 1


async def test_a_client_is_revoked_with_all_that_it_was_given_before(scene: Scene) -> None:
    assert await scene.certificates.revoke_client("ann") == []
    [revocation] = await scene.store.revocations()
    made_before = Identity(Role.READ, "ann", scene.now_ms + 1_000, "c1", scene.now_ms - 1_000)
    assert revocation.covers(made_before)
    assert not revocation.covers(replace(made_before, issued_at_ms=scene.now_ms + 1_000))
    assert not revocation.covers(replace(made_before, name="bob"))
    assert not revocation.covers(replace(made_before, role=Role.WORKER))


async def test_what_is_no_client_s_name_is_not_revoked(scene: Scene) -> None:
    with pytest.raises(InvalidArgument):
        await scene.certificates.revoke_client("client:ann")
    assert scene.learnt == 0


async def test_what_is_stored_counts_as_done_though_it_cannot_be_acted_upon_yet(scene: Scene) -> None:
    scene.deaf = True
    assert await scene.certificates.revoke_worker("w-1") == []
    assert len(await scene.store.revocations()) == 1


@pytest.mark.parametrize("serial", ["", "0", "xyz", "f" * 41])
async def test_what_is_no_serial_number_is_not_revoked(scene: Scene, serial: str) -> None:
    with pytest.raises(InvalidArgument):
        await scene.certificates.revoke_serial(serial)


async def test_what_is_no_worker_s_id_is_not_revoked(scene: Scene) -> None:
    with pytest.raises(InvalidArgument):
        await scene.certificates.revoke_worker("worker:w-1")
    assert scene.learnt == 0


@pytest.mark.parametrize(("limit", "count"), [(0, 100), (-1, 100), (7, 7), (5_000, 1_000)])
async def test_a_page_is_bounded(scene: Scene, limit: int, count: int) -> None:
    for number in range(1_001):
        made = Certificate(f"{number + 1:x}", "worker:w", scene.now_ms, scene.now_ms)
        await scene.store.renew(made, scene.peer())
    assert len(await scene.listed(limit=limit)) == count


@pytest.mark.parametrize("owner", ["worker:\0", "worker:w\n", "x" * 256])
async def test_what_no_certificate_can_be_of_is_not_looked_for(scene: Scene, owner: str) -> None:
    with pytest.raises(InvalidArgument, match="owner h"):
        await scene.listed(owner=owner)
