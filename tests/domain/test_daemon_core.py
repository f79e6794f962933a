from __future__ import annotations

import pytest

from taskrun.domain.daemon.effects import Dial, Finish, HangUp, StopAgent
from taskrun.domain.daemon.news import (
    DaemonBegan,
    DrainAsked,
    LinkLost,
    LinkOpened,
    OutboxSent,
    StopAsked,
)
from taskrun.domain.daemon.session import FAREWELL, DaemonCore
from taskrun.domain.errors import PermissionDenied
from taskrun.domain.protocol import (
    AssignRun,
    CancelRun,
    HeartbeatAck,
    HelloAck,
    RunReport,
    Stored,
    ToWorker,
)
from taskrun.domain.records import OutputSegment
from taskrun.domain.status import FailureKind, RunStatus, WorkerStatus
from taskrun.domain.timers import DaemonTimers
from tests.domain.rig import BROKEN, Rig

# Runs.


def test_an_assigned_run_is_started_and_reported_running() -> None:
    rig = Rig()
    assert rig.assign("r").run.run_id == "r"
    assert rig.sent() == [RunReport("r", RunStatus.RUNNING, seq=0)]


def test_the_end_is_reported_after_all_that_the_agent_said() -> None:
    rig = Rig()
    rig.assign("r").lane.text("out")
    rig.end("r")
    assert rig.sent() == [
        RunReport("r", RunStatus.RUNNING, seq=0),
        OutputSegment("r", 1, ("out",)),
        RunReport("r", RunStatus.COMPLETED, seq=2),
    ]


def test_what_an_agent_left_behind_says_after_the_end_goes_nowhere() -> None:
    rig = Rig()
    lane = rig.assign("r").lane
    rig.end("r")
    rig.sent()
    lane.text("late")
    assert rig.sent() == []


def test_the_same_run_assigned_twice_starts_one_agent() -> None:
    rig = Rig()
    rig.assign("r")
    assert rig.hear(AssignRun("r", "t", "echo", "1")) == []
    rig.end("r")
    assert rig.hear(AssignRun("r", "t", "echo", "1")) == []


def test_only_so_many_runs_are_remembered_after_their_end() -> None:
    rig = Rig()
    for number in range(1025):
        rig.assign(str(number))
        rig.end(str(number))
        rig.sent()
    assert rig.hear(AssignRun("1", "t", "echo", "1")) == []
    assert rig.assign("0")


def test_the_worker_itself_refuses_a_run_when_all_slots_are_taken() -> None:
    rig = Rig(slots=2)
    rig.assign("1")
    rig.assign("2")
    rig.sent()
    assert rig.hear(AssignRun("3", "t", "echo", "1")) == []
    assert rig.sent() == [
        RunReport("3", RunStatus.FAILED, "All 2 slots of the worker are taken.", FailureKind.REJECTED, seq=0)
    ]
    rig.end("1")
    assert rig.assign("4")


def test_a_run_being_stopped_holds_its_slot_until_its_agent_is_gone() -> None:
    rig = Rig(slots=1)
    rig.assign("1")
    rig.hear(CancelRun("1", ""))
    assert rig.hear(AssignRun("2", "t", "echo", "1")) == []
    rig.end("1", RunStatus.FAILED)
    assert rig.assign("3")


def test_an_agent_that_is_not_offered_is_unavailable() -> None:
    rig = Rig()
    assert rig.hear(AssignRun("r", "t", "other", "1")) == []
    (report,) = rig.sent()
    why = "The worker does not offer the agent 'other'."
    assert report == RunReport("r", RunStatus.FAILED, why, FailureKind.AGENT_UNAVAILABLE, seq=0)


def test_a_cancelled_run_is_stopped_once_and_reported_only_when_its_agent_is_gone() -> None:
    rig = Rig()
    rig.assign("r")
    rig.sent()
    assert rig.hear(CancelRun("r", "not needed")) == [StopAgent("r")]
    assert rig.hear(CancelRun("r", "not needed")) == []
    assert rig.sent() == []
    rig.end("r", RunStatus.FAILED)
    assert rig.sent() == [RunReport("r", RunStatus.CANCELLED, "not needed", FailureKind.CANCELLED, seq=1)]


def test_cancelling_an_unknown_run_needs_no_answer() -> None:
    rig = Rig()
    assert rig.hear(CancelRun("r", "")) == []
    assert rig.sent() == []


def test_a_hung_agent_does_not_run_for_ever_its_worker_enforces_the_timeout() -> None:
    rig = Rig()
    rig.assign("r", timeout_ms=2500)
    rig.sent()
    assert rig.wait(2.4) == []
    assert rig.wait(0.2) == [StopAgent("r")]
    assert rig.sent() == []
    rig.end("r", RunStatus.FAILED)
    report = RunReport("r", RunStatus.FAILED, "the run took longer than its task allows", FailureKind.TIMEOUT, seq=1)
    assert rig.sent() == [report]


def test_a_run_that_ends_in_time_is_not_timed_out() -> None:
    rig = Rig()
    rig.assign("r", timeout_ms=2500)
    rig.end("r")
    assert rig.wait(10) == []


def test_every_run_stops_when_the_daemon_is_told_so() -> None:
    rig = Rig()
    rig.assign("1")
    rig.assign("2")
    rig.sent()
    assert rig.feed(StopAsked()) == [StopAgent("1"), StopAgent("2")]
    rig.end("1", RunStatus.FAILED)
    (report,) = rig.sent()
    assert isinstance(report, RunReport)
    assert (report.status, report.failure) == (RunStatus.CANCELLED, FailureKind.CANCELLED)


# The link.


def test_heartbeats_say_how_many_runs_there_are() -> None:
    rig = Rig()
    rig.assign("r")
    rig.sent()
    rig.wait(14.9)
    assert rig.sent() == []
    rig.wait(0.2)
    assert rig.sent() == [rig.beat(WorkerStatus.BUSY, 1)]


def test_a_lost_link_stops_its_runs_and_nothing_of_them_is_ever_said() -> None:
    rig = Rig()
    lane = rig.assign("r").lane
    lane.text("before")
    assert rig.feed(BROKEN) == [HangUp(BROKEN.error), StopAgent("r")]
    lane.text("after")
    rig.end("r")
    assert rig.sent() == []


def test_it_comes_back_after_the_delay_and_only_when_every_agent_is_gone() -> None:
    rig = Rig()
    rig.assign("r")
    rig.feed(BROKEN)
    assert rig.wait(60) == []
    assert rig.end("r") == [Dial()]


def test_agents_that_are_gone_at_once_do_not_shorten_the_delay() -> None:
    rig = Rig()
    rig.assign("r")
    rig.feed(BROKEN)
    assert rig.end("r") == []
    assert rig.wait(2.4) == []
    assert rig.wait(0.2) == [Dial()]


def test_a_cancel_or_timeout_that_comes_after_the_link_was_lost_changes_nothing() -> None:
    rig = Rig()
    rig.assign("r", timeout_ms=1000)
    rig.feed(BROKEN)
    assert rig.feed(StopAsked()) == []
    assert rig.wait(1.5) == []
    rig.end("r", RunStatus.FAILED)
    assert rig.sent() == []


def test_failed_attempts_are_further_and_further_apart() -> None:
    rig = Rig(up=False)
    rig.feed(DaemonBegan())
    for delay in (2.5, 5.0, 10.0, 15.0, 15.0):
        assert rig.feed(BROKEN) == []
        assert rig.wait(delay - 0.1) == []
        assert rig.wait(0.2) == [Dial()]


@pytest.mark.parametrize("sign", [HelloAck("w"), Stored(1)])
def test_a_sign_of_life_makes_the_next_failure_a_first_one(sign: ToWorker) -> None:
    rig = Rig(up=False)
    rig.feed(DaemonBegan())
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.open()
    rig.hear(sign)
    rig.feed(BROKEN)
    assert rig.wait(2.6) == [Dial()]


def test_a_link_that_held_for_a_heartbeat_makes_the_next_failure_a_first_one() -> None:
    rig = Rig(up=False)
    rig.feed(DaemonBegan())
    rig.feed(BROKEN)
    rig.wait(2.5)
    rig.open()
    rig.wait(15)
    rig.feed(BROKEN)
    assert rig.wait(2.6) == [Dial()]


def test_a_control_plane_that_stops_answering_heartbeats_is_left() -> None:
    rig = Rig()
    rig.ack()
    assert rig.wait(59.9) == []
    (hang_up,) = rig.wait(0.2)
    assert isinstance(hang_up, HangUp)
    assert rig.wait(2.5) == [Dial()]


def test_an_old_control_plane_that_never_acks_is_never_left() -> None:
    rig = Rig()
    assert rig.wait(3600) == []
    assert rig.core.connected


def test_a_final_refusal_ends_the_daemon_with_its_reason_once_the_agents_are_gone() -> None:
    rig = Rig()
    rig.assign("r")
    refusal = LinkLost(PermissionDenied("revoked"), final=True)
    assert rig.feed(refusal) == [HangUp(refusal.error), StopAgent("r")]
    assert rig.end("r") == [Finish(refusal.error)]


def test_a_worker_that_is_refused_at_the_door_does_not_come_again() -> None:
    rig = Rig(up=False)
    rig.feed(DaemonBegan())
    refusal = LinkLost(PermissionDenied("unknown"), final=True)
    assert rig.feed(refusal) == [Finish(refusal.error)]
    assert rig.wait(3600) == []


def test_a_connection_is_open_from_its_opening_to_its_loss() -> None:
    rig = Rig(up=False)
    assert not rig.core.connected
    rig.feed(DaemonBegan())
    assert not rig.core.connected
    rig.open()
    assert rig.core.connected
    rig.feed(BROKEN)
    assert not rig.core.connected


# Drain.


def test_draining_is_said_at_once_and_new_runs_are_rejected() -> None:
    rig = Rig()
    rig.assign("1")
    rig.sent()
    assert rig.feed(DrainAsked()) == []
    assert rig.sent() == [rig.beat(WorkerStatus.DRAINING, 1)]
    rig.hear(AssignRun("2", "t", "echo", "1"))
    (report,) = rig.sent()
    assert isinstance(report, RunReport)
    assert (report.status, report.failure) == (RunStatus.FAILED, FailureKind.REJECTED)


def test_asking_to_drain_again_changes_nothing() -> None:
    rig = Rig()
    rig.assign("1")
    rig.feed(DrainAsked())
    rig.sent()
    assert rig.feed(DrainAsked()) == []
    assert rig.sent() == []


def test_a_drained_daemon_ends_when_its_last_report_is_known_to_have_arrived() -> None:
    rig = Rig()
    rig.ack()
    rig.assign("r")
    rig.feed(DrainAsked())
    assert rig.end("r") == []
    assert rig.sent()[-2:] == [RunReport("r", RunStatus.COMPLETED, seq=1), rig.beat(WorkerStatus.DRAINING, 0)]
    assert rig.core.leaving
    assert rig.feed(OutboxSent()) == []
    assert rig.hear(HeartbeatAck(0)) == []
    assert rig.ack() == [Finish()]


def test_with_an_old_control_plane_a_drained_daemon_ends_when_its_last_report_is_sent() -> None:
    rig = Rig()
    rig.assign("r")
    assert rig.feed(OutboxSent()) == []
    rig.feed(DrainAsked())
    assert rig.end("r") == []
    rig.sent()
    assert rig.feed(OutboxSent()) == [Finish()]


def test_a_drained_daemon_does_not_wait_for_ever_for_its_last_ack() -> None:
    rig = Rig()
    rig.ack()
    rig.feed(DrainAsked())
    assert rig.wait(FAREWELL - 0.1) == []
    assert rig.wait(0.2) == [Finish()]


def test_an_old_control_plane_that_takes_nothing_does_not_keep_a_drained_daemon() -> None:
    rig = Rig()
    rig.assign("r")
    rig.feed(DrainAsked())
    rig.end("r")
    assert rig.wait(FAREWELL + 0.1) == [Finish()]


def test_a_drained_daemon_that_is_told_to_stop_says_its_goodbye_to_the_end() -> None:
    rig = Rig()
    rig.ack()
    rig.feed(DrainAsked())
    assert rig.core.leaving
    assert rig.feed(StopAsked()) == []
    assert rig.wait(FAREWELL + 0.1) == [Finish()]


def test_a_drained_daemon_does_not_come_back_for_a_lost_link() -> None:
    rig = Rig()
    rig.ack()
    rig.feed(DrainAsked())
    assert rig.feed(BROKEN) == [HangUp(BROKEN.error), Finish()]


@pytest.mark.parametrize("began", [False, True])
def test_a_daemon_without_a_link_drains_at_once(began: bool) -> None:
    rig = Rig(up=False)
    if began:
        rig.feed(DaemonBegan())
    assert rig.feed(DrainAsked()) == [Finish()]


def test_a_daemon_that_is_away_drains_when_the_agents_of_the_lost_link_are_gone() -> None:
    rig = Rig()
    rig.assign("r")
    rig.feed(BROKEN)
    assert rig.feed(DrainAsked()) == []
    assert rig.end("r") == [Finish()]


def test_a_drain_that_lasts_too_long_cancels_what_is_left() -> None:
    rig = Rig()
    rig.assign("r")
    rig.feed(DrainAsked())
    assert rig.wait(299) == []
    assert rig.wait(2) == [StopAgent("r")]
    rig.sent()
    rig.end("r", RunStatus.FAILED)
    report = rig.sent()[0]
    assert isinstance(report, RunReport)
    assert report.status is RunStatus.CANCELLED


def test_a_daemon_that_is_over_does_nothing() -> None:
    rig = Rig(up=False)
    rig.feed(DrainAsked())
    assert rig.feed(DaemonBegan()) == []
    assert rig.feed(LinkOpened()) == []
    assert rig.feed(BROKEN) == []
    assert rig.wait(3600) == []


@pytest.mark.parametrize("timeout_ms", [0, 1_000, 100_000])
def test_the_next_deadline_is_the_earliest_of_all(timeout_ms: int) -> None:
    rig = Rig()
    rig.assign("r", timeout_ms)
    assert rig.core.next_deadline() == min(15.0, timeout_ms / 1000 or 15.0)


def test_with_nothing_to_wait_for_there_is_no_deadline() -> None:
    assert DaemonCore((), 1, DaemonTimers(), lambda: 0.5).next_deadline() is None


def test_a_run_of_a_lost_link_still_has_its_deadline_while_the_daemon_waits_for_it() -> None:
    rig = Rig()
    rig.assign("r", timeout_ms=60_000)
    rig.feed(BROKEN)
    rig.wait(10)
    assert rig.core.next_deadline() == 60.0
