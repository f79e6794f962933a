"""Who is let in and who is put out, with a clock that jumps and a store that others write too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

import pytest
from loguru import logger

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.domain.certificates.certificate import Revocation
from taskrun.domain.errors import StoreFailed, TaskRunError, Unauthenticated
from taskrun.domain.events import CertificatesAged
from taskrun.domain.identity import Identity, Role
from taskrun.engine.gate import LOOK, Gate
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import RecordingTelemetry

BEGIN = 1_700_000_000_000


class Certificates(MemoryCertificateStore):
    """Can be away."""

    away = False
    broken = False

    async def revocations(self, after: int = 0) -> Sequence[Revocation]:
        if self.away:
            raise StoreFailed("The store is away.")
        if self.broken:
            raise KeyError("a bug")
        return await super().revocations(after)


class Scene:
    def __init__(self, jumping: JumpingClock, telemetry: RecordingTelemetry) -> None:
        self.certificates = Certificates()
        self.expelled: list[str] = []
        self.cuts: list[tuple[str, TaskRunError]] = []
        self.gate = Gate(self.certificates, jumping, telemetry, self.expelled.append)
        self.streams = ExitStack()

    def open(self, peer: Identity) -> ExitStack:
        """A stream of this peer; what is returned closes it."""
        stream = self.streams.enter_context(ExitStack())
        stream.enter_context(self.gate.present(peer, lambda fault: self.cuts.append((peer.serial, fault))))
        return stream

    @property
    def cut(self) -> list[str]:
        return [serial for serial, _ in self.cuts]

    async def revoke(self, *, owner: str = "", serial: str = "") -> None:
        """As another control plane does."""
        await self.certificates.revoke(Revocation(BEGIN + 60_000, owner, serial))


def peer(name: str = "w", serial: str = "1", seconds: int = 20, role: Role = Role.WORKER) -> Identity:
    return Identity(role, name, BEGIN + seconds * 1000, serial, BEGIN)


@pytest.fixture
async def scene(jumping: JumpingClock, telemetry: RecordingTelemetry) -> AsyncIterator[Scene]:
    scene = Scene(jumping, telemetry)
    yield scene
    scene.streams.close()
    await scene.gate.stop()
    await scene.gate.stop()


@pytest.fixture
def lines() -> list[str]:
    return []


async def test_a_stream_is_cut_when_its_certificate_ends(scene: Scene, jumping: JumpingClock) -> None:
    scene.open(peer())
    scene.gate.admit(peer())
    await jumping.advance(19.999)
    assert scene.cuts == []
    await jumping.advance(0.001)
    [(_, fault)] = scene.cuts
    assert isinstance(fault, Unauthenticated)
    with pytest.raises(Unauthenticated, match="expired"):
        scene.gate.admit(peer())
    await jumping.advance(60)
    assert len(scene.cuts) == 1


async def test_a_wall_clock_that_is_set_forward_ends_it_within_two_seconds(scene: Scene, jumping: JumpingClock) -> None:
    scene.open(peer(seconds=86_400))
    await jumping.advance(1)
    jumping.shift_utc(2 * 86_400_000)
    await jumping.advance(LOOK)
    assert scene.cut == ["1"]


async def test_a_stream_that_ended_is_not_cut(scene: Scene, jumping: JumpingClock) -> None:
    scene.open(peer()).close()
    await jumping.advance(60)
    assert scene.cuts == []


async def test_what_another_control_plane_revokes_is_heard_within_two_seconds(
    scene: Scene, jumping: JumpingClock
) -> None:
    await scene.gate.start()
    await scene.gate.start()
    scene.open(peer(serial="1", seconds=90_000))
    scene.open(peer("other", serial="2", seconds=90_000))
    scene.open(peer("w", serial="3", seconds=90_000, role=Role.ADMIN))
    await scene.revoke(owner="worker:w")
    await jumping.advance(LOOK)
    assert scene.cut == ["1"]
    assert scene.expelled == ["w"]
    with pytest.raises(Unauthenticated, match="revoked"):
        scene.gate.admit(peer(seconds=90_000))
    await jumping.advance(60)
    assert scene.expelled == ["w"]


async def test_a_worker_that_is_away_is_expelled_too(scene: Scene) -> None:
    await scene.revoke(owner="worker:w")
    await scene.gate.learn()
    assert scene.expelled == ["w"]


async def test_one_certificate_is_revoked_and_the_worker_that_shows_it_is_expelled(scene: Scene) -> None:
    scene.open(peer(serial="1"))
    scene.open(peer(serial="2"))
    scene.open(peer("client", serial="3", role=Role.ADMIN))
    await scene.revoke(serial="2")
    await scene.revoke(serial="3")
    await scene.gate.learn()
    assert scene.cut == ["2", "3"]
    assert scene.expelled == ["w"]
    scene.gate.admit(peer(serial="1"))


async def test_a_stream_that_was_cut_is_not_cut_again_before_it_has_ended(scene: Scene, jumping: JumpingClock) -> None:
    scene.open(peer())
    await scene.revoke(owner="worker:w")
    await scene.gate.learn()
    await jumping.advance(60)
    assert [type(fault) for _, fault in scene.cuts] == [Unauthenticated]


async def test_what_was_revoked_before_a_start_keeps_out_and_expels_nobody(scene: Scene) -> None:
    await scene.revoke(owner="worker:w")
    await scene.gate.start()
    with pytest.raises(Unauthenticated):
        scene.gate.admit(peer())
    assert scene.expelled == []


async def test_without_a_store_it_does_not_start(scene: Scene) -> None:
    scene.certificates.away = True
    with pytest.raises(StoreFailed):
        await scene.gate.start()


async def test_a_store_that_is_away_is_asked_again_and_said_to_be_away_once(
    scene: Scene, jumping: JumpingClock, lines: list[str]
) -> None:
    sink = logger.add(lines.append, format="{level} {message}")
    await scene.gate.start()
    scene.certificates.away = True
    await jumping.advance(10)
    scene.certificates.away = False
    await scene.revoke(owner="worker:w")
    await jumping.advance(LOOK)
    logger.remove(sink)
    assert scene.expelled == ["w"]
    assert lines == ["WARNING what other control planes revoke is not heard now: The store is away.\n"]


async def test_a_bug_does_not_end_its_listening(scene: Scene, jumping: JumpingClock) -> None:
    await scene.gate.start()
    scene.certificates.broken = True
    await jumping.advance(LOOK)
    scene.certificates.broken = False
    await scene.revoke(owner="worker:w")
    await jumping.advance(LOOK)
    assert scene.expelled == ["w"]


async def test_a_certificate_that_nobody_renews_is_told_of_and_counted(
    scene: Scene, jumping: JumpingClock, telemetry: RecordingTelemetry, lines: list[str]
) -> None:
    sink = logger.add(lines.append, format="{level} {extra} {message}")
    stream = scene.open(peer())
    scene.open(peer("admin", "2", role=Role.ADMIN))
    await jumping.advance(14.999)
    assert telemetry.events == []
    await jumping.advance(0.001)
    stream.close()
    logger.remove(sink)
    assert telemetry.events == [CertificatesAged(1), CertificatesAged(0)]
    assert lines == ["WARNING {'worker_id': 'w'} the worker's certificate was not renewed and ends in 5 s\n"]
