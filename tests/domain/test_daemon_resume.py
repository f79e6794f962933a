"""The daemon's runs outlive its link: they go on while it is away, and say on the next link what is not stored."""

from __future__ import annotations

import pytest

from taskrun.domain.daemon.effects import Dial, Effect, Finish, HangUp, StopAgent
from taskrun.domain.daemon.news import DaemonBegan, DrainAsked, LinkLost, LinkOpened, TimePassed
from taskrun.domain.daemon.session import FAREWELL
from taskrun.domain.errors import InvalidArgument, PermissionDenied, Unavailable
from taskrun.domain.protocol import (
    BATCH,
    FEATURES,
    AssignRun,
    CancelRun,
    HeartbeatAck,
    HelloAck,
    LiveRun,
    RunDirective,
    RunReport,
    Stored,
)
from taskrun.domain.records import OutputSegment
from taskrun.domain.status import FailureKind, RunStatus, Verdict
from tests.domain.rig import BROKEN, PATIENCE, Resuming, Rig


def go_on(run_id: str, seq: int) -> RunDirective:
    return RunDirective(run_id, Verdict.GO_ON, seq)


# While it is away.


def test_a_lost_link_stops_no_run_and_the_next_hello_names_it() -> None:
    rig = Resuming()
    lane = rig.assign("r").lane
    rig.transport()
    assert rig.feed(BROKEN) == [HangUp(BROKEN.error)]
    lane.text("on my own")
    assert rig.wait(2.5) == [Dial((LiveRun("r", 2),))]


def test_what_was_said_is_said_again_from_where_the_control_plane_wants_it() -> None:
    rig = Resuming()
    lane = rig.assign("r").lane
    lane.text("a")
    rig.transport()
    rig.feed(BROKEN)
    lane.text("b")
    rig.come_back(go_on("r", 1))
    assert rig.sent()[:2] == [OutputSegment("r", 1, ("a",)), OutputSegment("r", 2, ("b",))]


def test_a_run_that_ends_while_it_is_away_is_reported_on_the_next_link() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.transport()
    rig.feed(BROKEN)
    assert rig.end("r") == []
    rig.come_back(go_on("r", 1))
    assert rig.sent()[0] == RunReport("r", RunStatus.COMPLETED, seq=1)


def test_a_run_that_ends_while_it_dials_changes_nothing_about_that() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    assert rig.wait(2.5) == [Dial((LiveRun("r", 1),))]
    assert rig.end("r") == []


def test_a_run_that_is_over_and_stored_is_no_more_in_the_hello() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.end("r")
    rig.transport()
    rig.hear(Stored(2))
    rig.feed(BROKEN)
    assert rig.wait(2.5) == [Dial()]


# When nobody is reached.


def test_runs_are_stopped_before_they_are_given_to_others() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.wait(10)
    rig.feed(BROKEN)
    rig.wait(2.5)
    assert rig.wait(PATIENCE - 12.6) == []
    assert rig.wait(0.2) == [StopAgent("r")]
    rig.feed(BROKEN)
    rig.wait(20)
    assert rig.end("r") == [Dial()]


def test_attempts_that_fail_do_not_put_the_end_off() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    effects: list[Effect] = []
    for _ in range(6):
        effects += rig.wait(16)
        assert effects[-1] == Dial((LiveRun("r", 1),))
        rig.feed(BROKEN)
    assert rig.wait(PATIENCE - 96)[-1] == StopAgent("r")


def test_a_stream_that_opens_and_breaks_unheard_does_not_put_the_end_off() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(2.5)
    for _ in range(7):
        rig.feed(LinkOpened())
        rig.wait(1)
        rig.feed(BROKEN)
        rig.wait(15)
    assert rig.core.outbox.live_runs() == ()


def test_runs_that_were_stopped_while_it_dialled_are_reported_as_lost() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(2.5)
    assert rig.wait(PATIENCE) == [StopAgent("r")]
    rig.end("r")
    rig.feed(LinkOpened())
    rig.welcome(go_on("r", 4))
    report = rig.sent()[0]
    assert isinstance(report, RunReport)
    assert (report.status, report.failure, report.seq) == (RunStatus.FAILED, FailureKind.WORKER_LOST, 4)


def test_runs_that_were_stopped_while_it_dialled_are_not_given_to_another_before_their_agents_are_gone() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(2.5)
    assert rig.wait(PATIENCE) == [StopAgent("r")]
    (left,) = rig.feed(LinkOpened())
    assert isinstance(left, HangUp)
    assert rig.wait(9) == []
    assert rig.end("r") == [Dial()]


def test_a_run_that_was_given_up_and_is_assigned_again_is_reported_as_lost() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(PATIENCE)
    rig.feed(BROKEN)
    rig.end("r", RunStatus.FAILED)
    rig.wait(20)
    rig.feed(LinkOpened())
    rig.welcome()
    assert rig.hear(AssignRun("r", "t", "echo", "1")) == []
    report = rig.sent()[0]
    assert isinstance(report, RunReport)
    assert (report.status, report.failure, report.seq) == (RunStatus.FAILED, FailureKind.WORKER_LOST, 0)


def test_a_control_plane_that_falls_silent_right_after_its_welcome_is_left() -> None:
    rig = Rig()
    rig.hear(HelloAck("w", frozenset(FEATURES)))
    (hang_up,) = rig.wait(60)
    assert isinstance(hang_up, HangUp)


# What the control plane wants.


@pytest.mark.parametrize("verdict", [Verdict.STOP, Verdict.UNKNOWN])
def test_a_run_that_is_wanted_no_more_is_stopped_and_says_nothing(verdict: Verdict) -> None:
    rig = Resuming()
    rig.assign("r").lane.text("a")
    rig.feed(BROKEN)
    assert rig.come_back(RunDirective("r", verdict)) == [StopAgent("r")]
    rig.end("r", RunStatus.FAILED)
    assert [message for message in rig.sent() if isinstance(message, OutputSegment | RunReport)] == []
    assert rig.core.outbox.weight == 0


def test_a_run_of_which_the_control_plane_says_nothing_is_stopped() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    assert rig.come_back() == [StopAgent("r")]


def test_a_run_can_be_stopped_on_its_own_stream_and_the_stream_may_break_then() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.transport()
    assert rig.hear(RunDirective("r", Verdict.STOP)) == [StopAgent("r")]
    assert rig.feed(BROKEN) == [HangUp(BROKEN.error)]


def stopping(seq: int, within_ms: int) -> RunReport:
    return RunReport("r", RunStatus.RUNNING, seq=seq, gone_within_ms=within_ms)


def test_who_is_told_to_stop_a_run_says_how_long_that_takes_each_time_and_then_that_it_is_done() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.transport()
    assert rig.hear(CancelRun("r", "not needed")) == [StopAgent("r")]
    rig.wait(4)
    assert rig.hear(CancelRun("r", "not needed")) == []
    assert rig.transport() == [stopping(1, 10_000), stopping(2, 6_000)]
    rig.wait(10)
    assert rig.hear(CancelRun("r", "not needed")) == []
    assert rig.transport() == [stopping(3, 1)]
    rig.end("r", RunStatus.FAILED)
    assert rig.hear(CancelRun("r", "not needed")) == []
    assert rig.transport() == [RunReport("r", RunStatus.CANCELLED, "not needed", FailureKind.CANCELLED, seq=4)]


def test_a_run_that_its_worker_stops_by_itself_takes_no_longer_when_it_is_told() -> None:
    rig = Resuming()
    rig.assign("r", timeout_ms=3_000)
    rig.transport()
    assert rig.wait(3) == [StopAgent("r")]
    rig.wait(1)
    assert rig.hear(CancelRun("r", "it took too long")) == []
    assert rig.transport() == [stopping(1, 9_000)]


def test_what_it_said_of_a_stop_is_said_again_on_the_next_link_if_it_was_not_heard() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.transport()
    rig.hear(CancelRun("r", "not needed"))
    rig.transport()
    rig.feed(BROKEN)
    rig.come_back(RunDirective("r", Verdict.GO_ON, 1))
    rig.hear(CancelRun("r", "not needed"))
    assert [word for word in rig.transport() if isinstance(word, RunReport)] == [
        stopping(1, 10_000),
        stopping(2, 7_500),
    ]


def test_of_a_run_that_nobody_wants_nothing_more_is_said_however_it_is_told() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.transport()
    assert rig.hear(RunDirective("r", Verdict.STOP)) == [StopAgent("r")]
    assert rig.hear(CancelRun("r", "not needed")) == []
    assert rig.transport() == []


def test_a_gap_is_filled_on_its_own_stream() -> None:
    rig = Resuming()
    rig.assign("r").lane.text("a")
    rig.transport()
    rig.hear(go_on("r", 1))
    assert rig.sent() == [OutputSegment("r", 1, ("a",))]


def test_a_control_plane_that_has_lost_what_was_stored_is_told_that_the_run_is_lost() -> None:
    rig = Resuming()
    rig.assign("r").lane.text("a")
    rig.transport()
    rig.hear(Stored(2))
    assert rig.hear(go_on("r", 0)) == [StopAgent("r")]
    (report,) = rig.sent()
    assert isinstance(report, RunReport)
    assert (report.failure, report.seq) == (FailureKind.WORKER_LOST, 0)


def test_a_control_plane_that_takes_the_end_for_heard_and_does_not_know_it_is_told_that_the_run_is_lost() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.end("r")
    rig.hear(go_on("r", 2))
    report = rig.sent()[-1]
    assert isinstance(report, RunReport)
    assert (report.failure, report.seq) == (FailureKind.WORKER_LOST, 2)


@pytest.mark.parametrize(
    "end", [LinkLost(PermissionDenied("revoked"), final=True), LinkLost(InvalidArgument("nonsense"), refused=True)]
)
def test_a_refusal_lets_all_runs_go(end: LinkLost) -> None:
    rig = Resuming()
    rig.assign("r")
    assert rig.feed(end) == [HangUp(end.error), StopAgent("r")]
    after = rig.end("r", RunStatus.FAILED)
    assert after == ([Finish(end.error)] if end.final else [])


# Control planes of old.


def test_where_a_control_plane_without_the_feature_takes_over_all_runs_are_let_go() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.feed(LinkOpened())
    assert rig.hear(HelloAck("w", frozenset({BATCH}))) == [StopAgent("r")]


def test_where_a_control_plane_speaks_without_a_welcome_all_runs_are_let_go() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.feed(LinkOpened())
    assert rig.hear(HeartbeatAck(0)) == [StopAgent("r")]


def test_a_control_plane_that_takes_its_time_to_answer_is_waited_for_as_long_as_runs_are_at_stake() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.feed(LinkOpened())
    assert rig.wait(60) == []
    assert rig.welcome(go_on("r", 0)) == []
    assert rig.wait(PATIENCE - 62) == []


def test_a_control_plane_that_never_answers_is_an_old_one_once_no_run_is_at_stake() -> None:
    rig = Resuming()
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.feed(LinkOpened())
    rig.wait(15)
    assert not rig.core.outbox.keeps


# The end.


def leaving() -> Resuming:
    """A drained daemon whose last report is sent."""
    rig = Resuming()
    rig.assign("r")
    rig.end("r")
    rig.feed(DrainAsked())
    rig.transport()
    assert rig.core.leaving
    return rig


def test_a_drained_daemon_waits_until_all_is_stored() -> None:
    rig = leaving()
    assert rig.ack() == []
    assert rig.wait(FAREWELL + 1) == []
    rig.transport()
    assert rig.ack() == []
    assert rig.hear(Stored(3)) == [Finish()]


def test_a_drained_daemon_comes_back_to_deliver_its_last_words() -> None:
    rig = leaving()
    assert rig.feed(BROKEN) == [HangUp(BROKEN.error)]
    rig.come_back(go_on("r", 1))
    assert rig.transport()[0] == RunReport("r", RunStatus.COMPLETED, seq=1)
    rig.ack()
    assert rig.hear(Stored(1)) == [Finish()]


def test_a_drained_daemon_ends_at_its_next_look_if_its_last_heartbeat_was_overtaken() -> None:
    rig = leaving()
    assert rig.hear(Stored(2)) == []
    assert rig.wait(FAREWELL) == [Finish()]


def test_a_drained_daemon_leaves_a_link_that_answers_no_more() -> None:
    rig = leaving()
    (hang_up,) = rig.wait(4 * FAREWELL)[:1]
    assert isinstance(hang_up, HangUp)


def test_a_drained_daemon_that_is_never_told_that_all_is_stored_gives_up() -> None:
    rig = leaving()
    effects: list[Effect] = []
    for _ in range(22):
        rig.ack()
        effects += rig.wait(FAREWELL)
        rig.transport()
    assert [type(effect) for effect in effects] == [HangUp, Finish]


def test_a_drained_daemon_that_reaches_nobody_gives_up() -> None:
    rig = leaving()
    rig.feed(BROKEN)
    rig.wait(2.5)
    assert rig.wait(PATIENCE) == [Finish()]


def test_a_daemon_that_drains_while_it_is_away_delivers_first() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.end("r")
    rig.feed(BROKEN)
    assert rig.feed(DrainAsked()) == []
    assert rig.wait(2.5) == [Dial((LiveRun("r", 2),))]


def test_a_daemon_that_finds_several_deadlines_over_finishes_once() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.feed(BROKEN)
    rig.end("r")
    rig.feed(DrainAsked())
    rig.wait(PATIENCE - 1)
    rig.feed(BROKEN)
    rig.mono += 100
    assert rig.feed(TimePassed()) == [Finish()]


def test_the_first_link_of_all_needs_no_patience() -> None:
    rig = Rig(up=False)
    rig.feed(DaemonBegan())
    assert rig.feed(LinkLost(Unavailable("down"))) == []
    assert rig.wait(2.6) == [Dial()]


# Frozen.


def frozen(seconds: float) -> Resuming:
    """A worker with a run that was stopped and continued like a process: no deadline was kept."""
    rig = Resuming()
    rig.assign("r")
    rig.mono += seconds
    return rig


def test_a_worker_that_was_frozen_for_too_long_takes_no_order_of_long_ago() -> None:
    rig = frozen(PATIENCE)
    effects = rig.hear(AssignRun("late", "t", "echo", "1"))
    assert [type(effect) for effect in effects] == [StopAgent, HangUp]
    rig.wait(20)
    assert rig.end("r") == [Dial()]


def test_a_welcome_to_a_hello_of_long_ago_brings_no_run() -> None:
    rig = Rig()
    rig.mono += PATIENCE
    (hang_up,) = rig.hear(HelloAck("w", frozenset(FEATURES)), AssignRun("late", "t", "echo", "1"))
    assert isinstance(hang_up, HangUp)


def test_a_worker_that_was_frozen_for_a_while_goes_on() -> None:
    rig = frozen(PATIENCE - 1)
    assert rig.assign("late").run.run_id == "late"


def test_each_heartbeat_that_is_heard_puts_the_end_off() -> None:
    rig = Resuming()
    rig.assign("r")
    for _ in range(20):
        assert rig.wait(15) == []
        rig.transport()
        rig.ack()
    assert rig.core.connected


def test_an_ack_that_comes_late_says_nothing_of_the_heartbeats_after_its_own() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.wait(15)
    rig.transport()
    first = rig.last_ms
    rig.wait(15)
    rig.transport()
    # The second is lost: the control plane gives the run to others by when it heard the first.
    assert rig.hear(HeartbeatAck(first)) == []
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.feed(BROKEN)
    assert StopAgent("r") in rig.wait(PATIENCE - 17.5)
