"""The server's certificate is replaced while it serves."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from loguru import logger

from taskrun.adapters.ca.certificates import Issuer, pem, server_certificate
from taskrun.adapters.ca.files import init_certs, load_key_pair
from taskrun.adapters.ca.keys import new_key, to_pem
from taskrun.adapters.system.clock import SystemClock
from taskrun.apps.server_certificate import LOOK, ServerCertificate
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.events import ServerCertificateShown
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import RecordingTelemetry

PAIR = ("server.crt", "server.key")


class Scene:
    """A directory, and others whose files are put into it."""

    def __init__(self, place: Path, clock: JumpingClock) -> None:
        self.place, self.clock = place, clock
        self.certs = place / "certs"
        init_certs(self.certs)
        # Of the same CA, with a server's certificate of its own.
        self.next = place / "next"
        shutil.copytree(self.certs, self.next)
        reissue(self.next)
        self.telemetry = RecordingTelemetry()
        self.shown = ServerCertificate(self.certs, clock, self.telemetry)

    def put(self, source: Path, *names: str) -> None:
        for name in names:
            shutil.copy(source / name, self.certs / f".{name}")
            (self.certs / f".{name}").replace(self.certs / name)

    async def look(self) -> None:
        """The files are looked at, and what comes of it has come."""
        await self.clock.advance(LOOK)

    def shows(self, directory: Path) -> bool:
        tls = self.shown.tls()
        return tuple((directory / name).read_bytes() for name in PAIR) == (tls.cert_pem, tls.key_pem)


def reissue(directory: Path, lifetime: timedelta = timedelta(days=30)) -> None:
    """Another certificate and key for the server, by the directory's CA."""
    ca = load_key_pair(directory / "ca.crt", directory / "ca.key")
    key = new_key()
    issuer = Issuer(ca.certificate, ca.key)  # type: ignore[arg-type]  # it is one of ours
    now = datetime.now(UTC).replace(microsecond=0)
    made = server_certificate(issuer, "server", key.public_key(), now, lifetime, [x509.DNSName("localhost")])
    (directory / "server.crt").write_bytes(pem(made))
    (directory / "server.key").write_bytes(to_pem(key))


@pytest.fixture
def clock() -> JumpingClock:
    """At today's date, for certificates have dates."""
    return JumpingClock(utc_ms=SystemClock().now().utc_ms)


@pytest.fixture
async def scene(tmp_path: Path, clock: JumpingClock) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path, clock)
    scene.shown.start()
    scene.shown.start()
    await clock.advance(0)
    yield scene
    await scene.shown.stop()
    await scene.shown.stop()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    written: list[str] = []
    sink = logger.add(written.append, format="{level} {message}")
    yield written
    logger.remove(sink)


async def test_a_new_pair_is_shown_from_the_next_look_on(scene: Scene) -> None:
    before = scene.shown.tls()
    await scene.look()
    assert scene.shown.tls() is before
    scene.put(scene.next, *PAIR)
    await scene.look()
    assert scene.shows(scene.next)
    ends = [event.not_after_ms for event in scene.telemetry.events if isinstance(event, ServerCertificateShown)]
    assert len(ends) == 2
    assert ends[1] < ends[0]


async def test_a_pair_that_is_there_by_halves_changes_nothing_until_it_is_whole(scene: Scene, lines: list[str]) -> None:
    scene.put(scene.next, "server.crt")
    await scene.look()
    assert scene.shown.tls().cert_pem != (scene.next / "server.crt").read_bytes()
    await scene.look()
    assert [line.partition(":")[0] for line in lines] == ["WARNING the server's certificate was not replaced"]
    scene.put(scene.next, "server.key")
    await scene.look()
    assert scene.shows(scene.next)


async def test_what_is_no_certificate_or_missing_changes_nothing(scene: Scene) -> None:
    before = scene.shown.tls()
    (scene.certs / "server.crt").write_bytes(b"nonsense")
    await scene.look()
    (scene.certs / "server.crt").unlink()
    await scene.look()
    assert scene.shown.tls() is before


async def test_a_certificate_of_another_ca_is_refused_although_that_is_there_too(scene: Scene) -> None:
    before = scene.shown.tls()
    init_certs(scene.place / "other")
    scene.put(scene.place / "other", "ca.crt", *PAIR)
    await scene.look()
    assert scene.shown.tls() is before


async def test_it_is_told_once_a_day_that_the_certificate_ends_soon(
    scene: Scene, clock: JumpingClock, lines: list[str]
) -> None:
    clock.shift_utc(300 * 86_400_000)
    for _ in range(3):
        await scene.look()
    assert len(lines) == 1
    assert "ends in 1559 h: replace it" in lines[0]
    clock.shift_utc(86_400_000)
    await scene.look()
    assert len(lines) == 2


async def test_files_that_do_not_do_are_refused_at_once(tmp_path: Path, clock: JumpingClock) -> None:
    with pytest.raises(FailedPrecondition):
        ServerCertificate(tmp_path, clock, RecordingTelemetry())
