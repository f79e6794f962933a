"""The tables of a worker's runs and of its link, every state with every event."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.daemon.backoff import Backoff
from taskrun.domain.daemon.outbox import Outbox
from taskrun.domain.daemon.pulse import PATIENCE, Pulse
from taskrun.domain.daemon.slot import SLOT, RunSlot, SlotEvent, SlotState
from taskrun.domain.daemon.talk import Talk
from taskrun.domain.daemon.uplink import UPLINK, UplinkEvent, UplinkState
from taskrun.domain.errors import IllegalMove
from taskrun.domain.now import Now
from taskrun.domain.protocol import AssignRun, HeartbeatAck, RunReport
from taskrun.domain.status import FailureKind, RunStatus

RUN = AssignRun("r", "t", "echo", "1")


@given(st.sampled_from(SlotState), st.sampled_from(SlotEvent))
def test_a_slot_takes_every_event_in_every_state_and_never_runs_again(state: SlotState, event: SlotEvent) -> None:
    assert SLOT.after(state, event) is not SlotState.RUNNING


@given(st.sampled_from(UplinkState), st.sampled_from(UplinkEvent))
def test_the_uplink_moves_as_its_table_says_or_not_at_all(state: UplinkState, event: UplinkEvent) -> None:
    if (state, event) in UPLINK.table:
        assert UPLINK.after(state, event) in UplinkState
    else:
        with pytest.raises(IllegalMove):
            UPLINK.after(state, event)


def test_nothing_leads_out_of_over() -> None:
    assert not [event for state, event in UPLINK.table if state is UplinkState.OVER]


@pytest.mark.parametrize("state", SlotState)
def test_a_run_that_was_done_before_it_could_be_stopped_is_done(state: SlotState) -> None:
    outbox = Outbox()
    done = RunReport("r", RunStatus.COMPLETED)
    RunSlot(outbox.lane("r"), Talk(RUN), state).end(done)
    (said,) = outbox.take()
    assert said == replace(done, seq=0)


@pytest.mark.parametrize(
    ("event", "status", "failure"),
    [
        (SlotEvent.CANCELLED, RunStatus.CANCELLED, FailureKind.CANCELLED),
        (SlotEvent.TIMED_OUT, RunStatus.FAILED, FailureKind.TIMEOUT),
    ],
)
def test_a_stopped_run_is_reported_by_the_first_reason_it_was_stopped_for(
    event: SlotEvent, status: RunStatus, failure: FailureKind
) -> None:
    outbox = Outbox()
    slot = RunSlot(outbox.lane("r"), Talk(RUN))
    assert slot.stop(event, "first")
    assert not slot.stop(SlotEvent.CANCELLED, "second")
    assert not slot.stop(SlotEvent.TIMED_OUT, "third")
    slot.end(RunReport("r", RunStatus.FAILED, "killed", FailureKind.AGENT_ERROR, session_id="s"))
    assert outbox.take() == [RunReport("r", status, "first", failure, session_id="s", seq=0)]


def test_the_reconnect_bound_doubles_up_to_its_maximum_and_begins_anew_after_a_reset() -> None:
    backoff = Backoff(5.0, 30.0, lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [5.0, 10.0, 20.0, 30.0, 30.0]
    backoff.reset()
    assert backoff.next() == 5.0


def test_the_reconnect_delay_has_full_jitter_so_that_workers_do_not_come_back_all_at_once() -> None:
    chances = iter([0.0, 0.5, 0.25])
    backoff = Backoff(5.0, 30.0, lambda: next(chances))
    assert [backoff.next() for _ in range(3)] == [0.0, 5.0, 5.0]


def test_heartbeats_of_one_link_have_different_timestamps_even_when_the_clock_stands_or_goes_back() -> None:
    pulse = Pulse()
    assert [pulse.beat(Now(0.0, utc_ms)) for utc_ms in (7, 7, 3)] == [7, 8, 9]


def test_only_a_control_plane_that_has_acked_can_fall_silent() -> None:
    old, new = Pulse(), Pulse()
    new.acked(HeartbeatAck(new.beat(Now(0.0, 1))))
    assert new.is_answered
    for pulse in (old, new):
        pulse.heard()
        for _ in range(PATIENCE):
            assert not pulse.is_silent
            pulse.beat(Now(0.0, 1))
    assert (old.is_silent, new.is_silent) == (False, True)


def test_an_ack_of_an_earlier_heartbeat_does_not_speak_for_the_last() -> None:
    pulse = Pulse()
    first = pulse.beat(Now(0.0, 1))
    pulse.beat(Now(0.0, 2))
    pulse.acked(HeartbeatAck(first))
    assert not pulse.is_answered
