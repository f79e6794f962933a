"""A worker with several control planes: the next at once, a rest only after a round, one patience for all of them."""

from __future__ import annotations

from taskrun.domain.daemon.effects import Dial, Effect, HangUp, StopAgent
from taskrun.domain.daemon.news import DaemonBegan, DrainAsked, LinkLost, LinkOpened
from taskrun.domain.errors import PermissionDenied
from taskrun.domain.protocol import HelloAck, LiveRun
from tests.domain.rig import BROKEN, PATIENCE, Resuming, Rig

THREE = {0, 1, 2}


def dialled(effects: list[Effect]) -> list[int]:
    """The places that are dialled."""
    return [effect.place for effect in effects if isinstance(effect, Dial)]


def begun() -> tuple[Rig, int]:
    """A worker with three places, and the first that it dials."""
    rig = Rig(up=False, places=3)
    [first] = dialled(rig.feed(DaemonBegan()))
    return rig, first


def test_where_one_cannot_be_reached_the_next_is_tried_at_once_and_each_once() -> None:
    rig, first = begun()
    [second] = dialled(rig.feed(BROKEN))
    [third] = dialled(rig.feed(BROKEN))
    assert {first, second, third} == THREE


def test_only_a_whole_round_of_failures_is_followed_by_a_rest() -> None:
    rig, _ = begun()
    for longest in (5, 10, 20, 30, 30):
        rig.feed(BROKEN)
        rig.feed(BROKEN)
        assert rig.feed(BROKEN) == []
        assert rig.wait(longest / 2 - 0.01) == []
        assert len(dialled(rig.wait(0.02))) == 1


def test_when_a_link_breaks_that_held_every_other_is_tried_first_and_at_once() -> None:
    rig, first = begun()
    rig.open()
    rig.wait(15)
    hang_up, *dial = rig.feed(BROKEN)
    assert hang_up == HangUp(BROKEN.error)
    others = dialled(dial) + dialled(rig.feed(BROKEN))
    assert set(others) == THREE - {first}
    assert rig.feed(BROKEN) == []


def test_those_that_welcome_a_worker_and_drop_it_at_once_are_not_tried_for_ever_without_a_rest() -> None:
    rig, _ = begun()
    for left in (2, 1, 0):
        rig.feed(LinkOpened())
        rig.hear(HelloAck("w"))
        assert len(dialled(rig.feed(BROKEN))) == (1 if left else 0)


def test_the_next_hello_names_the_runs_wherever_it_is_said() -> None:
    rig = Resuming(places=2)
    rig.assign("r")
    rig.transport()
    hang_up, dial = rig.feed(BROKEN)
    assert isinstance(hang_up, HangUp)
    assert isinstance(dial, Dial)
    assert dial.live_runs == (LiveRun("r", 1),)


def test_however_many_are_tried_the_patience_is_one() -> None:
    rig = Resuming(places=3)
    rig.assign("r")
    rig.transport()
    rig.feed(BROKEN)
    while rig.mono < PATIENCE - 5:
        if rig.core.dialling:
            rig.feed(BROKEN)
        assert StopAgent("r") not in rig.wait(4)
    assert StopAgent("r") in rig.wait(PATIENCE - rig.mono)


def test_a_link_that_opened_at_another_and_broke_unheard_does_not_put_the_end_off() -> None:
    rig = Resuming(places=2)
    rig.assign("r")
    rig.transport()
    rig.feed(BROKEN)
    rig.wait(PATIENCE - 10)
    rig.feed(LinkOpened())
    rig.feed(BROKEN)
    assert StopAgent("r") in rig.wait(10)


def test_a_refusal_for_good_by_one_is_that_of_all() -> None:
    rig, _ = begun()
    assert dialled(rig.feed(LinkLost(PermissionDenied("no"), final=True))) == []


def test_a_drained_worker_delivers_its_last_words_at_another() -> None:
    rig = Resuming(places=2)
    rig.assign("r")
    rig.feed(DrainAsked())
    rig.end("r")
    assert len(dialled(rig.feed(BROKEN))) == 1


def test_agents_that_must_be_gone_first_are_waited_for_and_then_it_dials_at_once() -> None:
    rig = Rig(up=False, places=2)
    rig.feed(DaemonBegan())
    rig.open()
    rig.assign("r")
    rig.hear(HelloAck("w"))
    assert rig.feed(BROKEN) == [HangUp(BROKEN.error), StopAgent("r")]
    assert len(dialled(rig.end("r"))) == 1
