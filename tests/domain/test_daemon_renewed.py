"""A certificate is renewed: the daemon goes over to a stream under the new one, and no run notices."""

from __future__ import annotations

from taskrun.domain.daemon.effects import Dial, HangUp
from taskrun.domain.daemon.news import CertificateRenewed, DrainAsked, LinkOpened
from taskrun.domain.protocol import RunDirective
from taskrun.domain.status import Verdict
from tests.domain.rig import BROKEN, Resuming, Rig


def test_it_goes_over_at_once_with_its_runs_and_to_the_same_control_plane() -> None:
    rig = Resuming(places=3)
    rig.assign("r")
    rig.transport()
    place = rig.core._place
    hang_up, dial = rig.feed(CertificateRenewed())
    assert isinstance(hang_up, HangUp)
    assert hang_up.planned
    assert isinstance(dial, Dial)
    assert dial.place == place
    assert [run.run_id for run in dial.live_runs] == ["r"]
    rig.feed(LinkOpened())
    assert rig.welcome(RunDirective("r", Verdict.GO_ON, 0)) == []
    assert rig.core.connected


def test_if_that_does_not_answer_the_others_are_tried_as_ever() -> None:
    rig = Resuming(places=2)
    _, first = rig.feed(CertificateRenewed())
    (second,) = rig.feed(BROKEN)
    assert isinstance(first, Dial)
    assert isinstance(second, Dial)
    assert first.place != second.place


def test_a_control_plane_of_old_that_would_give_up_the_runs_is_not_left() -> None:
    assert Rig().feed(CertificateRenewed()) == []


def test_without_a_link_the_next_one_is_under_the_new_certificate_anyway() -> None:
    rig = Resuming()
    rig.feed(BROKEN)
    assert rig.feed(CertificateRenewed()) == []


def test_a_daemon_that_is_about_to_end_does_not_begin_anew() -> None:
    rig = Resuming()
    rig.feed(DrainAsked())
    assert rig.core.leaving
    assert rig.feed(CertificateRenewed()) == []
