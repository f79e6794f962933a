"""A worker renews as often as an honest one could need, and no more."""

from __future__ import annotations

import pytest

from taskrun.domain import pacing
from taskrun.domain.certificates.life import RETRY_MS
from taskrun.domain.certificates.pace import AT_ONCE, RenewalPace
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.identity import Identity, Role

WEEK_MS = 7 * 86_400_000
#: Seconds after which one more may be asked for.
EVERY = RETRY_MS / 1000


def worker(name: str = "w-1", life_ms: int = WEEK_MS) -> Identity:
    return Identity(Role.WORKER, name, life_ms, "a1", 0)


def use_up(counted: RenewalPace, peer: Identity, mono: float) -> None:
    for _ in range(AT_ONCE):
        counted.count(peer, mono)


def test_so_many_are_let_through_at_once_and_then_one_each_time_that_one_that_fails_would_try_again() -> None:
    counted = RenewalPace()
    use_up(counted, worker(), 1_000)
    with pytest.raises(ResourceExhausted, match=r"^The worker w-1 renews too often: try again in 300\.0 s\.$"):
        counted.count(worker(), 1_000)
    with pytest.raises(ResourceExhausted, match=r"in 0\.5 s"):
        counted.count(worker(), 1_000 + EVERY - 0.5)
    counted.count(worker(), 1_000 + EVERY)
    with pytest.raises(ResourceExhausted):
        counted.count(worker(), 1_000 + EVERY)


def test_each_worker_is_counted_by_itself() -> None:
    counted = RenewalPace()
    use_up(counted, worker(), 0)
    use_up(counted, worker("w-2"), 0)


def test_another_certificate_of_the_same_worker_gives_it_no_more() -> None:
    counted = RenewalPace()
    use_up(counted, worker(), 0)
    with pytest.raises(ResourceExhausted):
        counted.count(Identity(Role.WORKER, "w-1", WEEK_MS, "a2", 0), 0)


@pytest.mark.parametrize("life_ms", [2_000, 20_000, WEEK_MS])
def test_who_renews_at_half_its_life_and_tries_again_whenever_it_may_is_never_refused(life_ms: int) -> None:
    counted, mono = RenewalPace(), 0.0
    for _ in range(10 * AT_ONCE):
        counted.count(worker(life_ms=life_ms), mono)
        mono += min(RETRY_MS, life_ms / 20) / 1000


def test_who_may_go_on_is_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_MANY", 4)
    counted = RenewalPace()
    for number in range(20):
        counted.count(worker(f"w-{number}"), number * EVERY)
    assert len(counted._pacing) <= 4


def test_of_many_that_may_not_nobody_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_MANY", 4)
    counted = RenewalPace()
    names = [f"w-{number}" for number in range(20)]
    for name in names:
        use_up(counted, worker(name), 0)
    for name in names:
        with pytest.raises(ResourceExhausted):
            counted.count(worker(name), 0)
