"""A certificate is renewed at half its life, and again and again if that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from loguru import logger

from taskrun.domain.certificates.life import RETRY_MS, Life
from taskrun.domain.errors import Unavailable
from taskrun.engine.certificate_keeper import LOOK, CertificateKeeper
from taskrun.testing.clock import JumpingClock

WEEK = 7 * 86_400.0


class StubRenewer:
    """Makes certificates of a week, or fails."""

    def __init__(self, clock: JumpingClock) -> None:
        self._clock = clock
        self.attempts: list[float] = []
        self.error: Exception | None = None

    def life(self) -> Life:
        now_ms = self._clock.now().utc_ms
        return Life(now_ms, now_ms + round(WEEK * 1000))

    async def renew(self) -> Life:
        self.attempts.append(self._clock.now().mono)
        if self.error is not None:
            raise self.error
        return self.life()


class Scene:
    def __init__(self, clock: JumpingClock) -> None:
        self.clock, self.renewer, self.renewed = clock, StubRenewer(clock), 0
        self.keeper = CertificateKeeper(self.renewer, clock, lambda: 0.5, self._renewed)
        self.begin = clock.now().mono

    def _renewed(self) -> None:
        self.renewed += 1

    @property
    def attempts(self) -> list[float]:
        """Seconds since the beginning."""
        return [at - self.begin for at in self.renewer.attempts]


@pytest.fixture
async def scene(jumping: JumpingClock) -> AsyncIterator[Scene]:
    scene = Scene(jumping)
    scene.keeper.start()
    scene.keeper.start()
    yield scene
    await scene.keeper.stop()
    await scene.keeper.stop()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    written: list[str] = []
    sink = logger.add(written.append, format="{level} {message}")
    yield written
    logger.remove(sink)


async def test_each_certificate_is_renewed_at_half_its_life(scene: Scene) -> None:
    await scene.clock.advance(1.6 * WEEK)
    assert scene.attempts == pytest.approx([0.5 * WEEK, WEEK, 1.5 * WEEK])
    assert scene.renewed == 3


async def test_it_is_tried_every_five_minutes_until_it_works(scene: Scene) -> None:
    scene.renewer.error = Unavailable("Nobody there.")
    await scene.clock.advance(0.5 * WEEK + 2.5 * RETRY_MS / 1000)
    assert scene.attempts == pytest.approx([0.5 * WEEK, 0.5 * WEEK + 300, 0.5 * WEEK + 600])
    assert scene.renewed == 0
    scene.renewer.error = None
    await scene.clock.advance(RETRY_MS / 1000)
    assert scene.renewed == 1


async def test_from_three_quarters_on_it_is_a_warning_that_it_fails(scene: Scene, lines: list[str]) -> None:
    scene.renewer.error = Unavailable("Nobody there.")
    await scene.clock.advance(0.5 * WEEK + 1)
    assert lines == ["INFO the certificate, which ends in 302400 s, is not renewed: Nobody there. Again in 300 s.\n"]
    lines.clear()
    await scene.clock.advance(0.25 * WEEK)
    assert {line.split()[0] for line in lines[:-1]} == {"INFO"}
    assert lines[-1] == (
        "WARNING the certificate, which ends in 151200 s, is not renewed: Nobody there. Again in 300 s.\n"
    )


async def test_whatever_goes_wrong_it_is_tried_again(scene: Scene) -> None:
    scene.renewer.error = KeyError("a bug")
    await scene.clock.advance(0.5 * WEEK + 300)
    assert len(scene.attempts) == 2


async def test_a_machine_that_slept_renews_within_a_minute(scene: Scene) -> None:
    await scene.clock.advance(1)
    scene.clock.shift_utc(round(0.6 * WEEK * 1000))
    await scene.clock.advance(LOOK)
    assert scene.renewed == 1
