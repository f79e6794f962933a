from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.daemon.lane import Lane
from taskrun.domain.daemon.outbox import CAPACITY, FLOOD, Outbox
from taskrun.domain.limits import MAX_CHUNKS
from taskrun.domain.protocol import MESSAGE_WEIGHT, FromWorker, Heartbeat, LiveRun, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage
from taskrun.domain.status import ChatRole, RunEventType, RunStatus, WorkerStatus

BEAT = Heartbeat(WorkerStatus.IDLE, 0, 10, 1)


def event(run_id: str, name: str = "", seq: int | None = None) -> RunEvent:
    return RunEvent(run_id, RunEventType.TOOL_REQUESTED, {"name": name}, seq=seq)


def test_adjacent_chunks_of_a_run_become_one_segment() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    for chunk in ("a", "b", "c"):
        lane.text(chunk)
    assert outbox.take() == [OutputSegment("r", 0, ("a", "b", "c"))]


def test_the_numbers_of_chunks_go_on_after_a_take() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    lane.text("a")
    outbox.take()
    lane.text("b")
    assert outbox.take() == [OutputSegment("r", 1, ("b",))]


def test_an_event_stays_between_the_output_before_and_after_it() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    lane.text("a")
    lane.add(event("r"))
    lane.text("b")
    assert outbox.take() == [OutputSegment("r", 0, ("a",)), event("r", seq=1), OutputSegment("r", 2, ("b",))]


def test_runs_that_write_by_turns_still_get_one_segment_each() -> None:
    outbox = Outbox()
    one, two = outbox.lane("1"), outbox.lane("2")
    for chunk in ("a", "b"):
        one.text(chunk)
        two.text(chunk)
    assert outbox.take() == [OutputSegment("1", 0, ("a", "b")), OutputSegment("2", 0, ("a", "b"))]


def test_only_the_newest_heartbeat_is_kept_and_it_comes_last() -> None:
    outbox = Outbox()
    outbox.beat(Heartbeat(WorkerStatus.BUSY, 1, 10, 0))
    outbox.beat(BEAT)
    outbox.lane("r").text("a")
    assert outbox.take() == [OutputSegment("r", 0, ("a",)), BEAT]


def test_an_outbox_is_true_while_it_holds_something() -> None:
    outbox = Outbox()
    assert not outbox
    outbox.beat(BEAT)
    assert outbox
    outbox.take()
    assert not outbox
    outbox.lane("r").text("a")
    assert outbox


def test_a_segment_holds_no_more_chunks_than_a_message_may() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    for _ in range(MAX_CHUNKS + 1):
        lane.text("a")
    assert [len(segment.contents) for segment in outbox.take() if isinstance(segment, OutputSegment)] == [MAX_CHUNKS, 1]


@pytest.mark.parametrize("chunk", ["a", "a" * 65536, "é" * 32768])
def test_it_is_full_at_four_mebibytes_of_text_or_some_sixteen_thousand_chunks(chunk: str) -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    weight = MESSAGE_WEIGHT + (len(chunk) if chunk.isascii() else 4 * len(chunk))
    for _ in range(-(-CAPACITY // weight)):
        assert not outbox.full
        lane.text(chunk)
    assert outbox.full
    outbox.take()
    assert not outbox.full


def test_reports_get_in_when_it_is_full_and_count_towards_a_flood() -> None:
    outbox = Outbox()
    outbox.lane("full").text("x" * CAPACITY)
    outbox.take()
    for number in range(FLOOD // MESSAGE_WEIGHT):
        assert not outbox.flooded
        outbox.lane(str(number)).add(RunReport(str(number), RunStatus.RUNNING))
    assert outbox.flooded
    assert len(outbox.take()) == FLOOD // MESSAGE_WEIGHT
    assert not outbox.flooded


def test_the_words_in_a_message_count() -> None:
    report = RunReport("r", RunStatus.FAILED, "x" * 100)
    message = RunMessage("r", ChatRole.SYSTEM, "x" * 100)
    for word in (report, message, event("r", "x" * 96)):
        outbox = Outbox()
        outbox.lane("r").add(word)
        assert outbox.weight == MESSAGE_WEIGHT + 100


def test_a_closed_lane_takes_nothing() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    lane.close()
    lane.text("late")
    lane.add(event("r"))
    assert not outbox


# What is kept.


def keeping(*chunks: str) -> tuple[Outbox, Lane]:
    """An outbox that keeps what is sent, with one run that has said this, each chunk in a message of its own."""
    outbox = Outbox()
    outbox.keep(True)
    lane = outbox.lane("r")
    for chunk in chunks:
        lane.text(chunk)
        outbox.take()
        outbox.sent(1)
    return outbox, lane


def test_what_is_sent_is_kept_until_it_is_stored() -> None:
    outbox, _ = keeping("a", "b")
    assert (bool(outbox), outbox.settled) == (False, False)
    outbox.stored(1)
    assert outbox.weight == MESSAGE_WEIGHT + 1
    outbox.stored(2)
    assert (outbox.weight, outbox.settled) == (0, True)


def test_what_was_stored_before_its_sending_was_known_is_let_go_then() -> None:
    outbox, lane = keeping()
    lane.text("a")
    outbox.take()
    outbox.stored(1)
    assert not outbox.settled
    outbox.sent(1)
    assert outbox.settled


def test_an_older_word_about_what_is_stored_takes_nothing_back() -> None:
    outbox, lane = keeping("a", "b")
    outbox.stored(2)
    outbox.stored(1)
    lane.text("c")
    outbox.take()
    outbox.sent(1)
    assert not outbox.settled


def test_what_was_sent_in_several_messages_is_stored_with_the_last_of_them() -> None:
    outbox, lane = keeping()
    lane.text("a")
    outbox.take()
    outbox.sent(3)
    outbox.stored(2)
    assert not outbox.settled
    outbox.stored(3)
    assert outbox.settled


def test_heartbeats_count_as_messages_but_are_not_kept() -> None:
    outbox, lane = keeping()
    outbox.beat(BEAT)
    outbox.take()
    outbox.sent(1)
    lane.text("a")
    outbox.take()
    outbox.sent(1)
    outbox.stored(1)
    assert not outbox.settled
    outbox.stored(2)
    assert outbox.settled


def test_a_run_is_live_until_it_is_over_and_stored() -> None:
    outbox, lane = keeping("a")
    lane.close()
    assert outbox.live_runs() == (LiveRun("r", 1),)
    assert "r" in outbox
    outbox.stored(1)
    assert outbox.live_runs() == ()


def test_a_control_plane_that_keeps_nothing_takes_what_was_sent_as_it_is() -> None:
    outbox, _ = keeping("a")
    outbox.keep(False)
    assert (outbox.weight, outbox.settled) == (0, True)


# Streams that break.


def test_after_a_break_nothing_of_a_run_is_sent_before_it_is_told_where_to_go_on() -> None:
    outbox, lane = keeping("a", "b")
    outbox.hold()
    lane.text("c")
    outbox.beat(BEAT)
    assert outbox.held() == ["r"]
    assert outbox.take() == [BEAT]
    assert outbox.go_on("r", 1)
    assert outbox.take() == [OutputSegment("r", 1, ("b",)), OutputSegment("r", 2, ("c",))]


def test_it_goes_on_in_the_middle_of_a_segment() -> None:
    outbox, lane = keeping()
    for chunk in "abc":
        lane.text(chunk)
    outbox.hold()
    assert outbox.go_on("r", 2)
    assert outbox.take() == [OutputSegment("r", 2, ("c",))]


def test_messages_count_from_the_beginning_of_each_stream() -> None:
    outbox, _ = keeping("a", "b", "c")
    outbox.stored(2)
    outbox.hold()
    outbox.go_on("r", 2)
    outbox.take()
    outbox.sent(1)
    outbox.stored(1)
    assert outbox.settled


def test_an_unsent_heartbeat_does_not_outlive_its_stream() -> None:
    outbox, _ = keeping()
    outbox.beat(BEAT)
    outbox.hold()
    assert not outbox


def test_a_run_that_is_over_cannot_go_on_behind_its_end() -> None:
    outbox, lane = keeping("a")
    lane.close()
    outbox.hold()
    assert not outbox.go_on("r", 1)
    assert outbox.weight == 0


@pytest.mark.parametrize("from_seq", [0, 5])
def test_it_cannot_go_on_with_what_is_not_here(from_seq: int) -> None:
    outbox, _ = keeping("a", "b")
    outbox.stored(1)
    outbox.hold()
    assert not outbox.go_on("r", from_seq)
    assert not outbox.go_on("unknown", 0)


def test_on_a_stream_that_lives_a_run_goes_back_without_the_others() -> None:
    outbox, lane = keeping("a", "b")
    other = outbox.lane("other")
    other.text("x")
    outbox.take()
    outbox.sent(1)
    lane.text("c")
    other.text("y")
    assert outbox.go_on("r", 1)
    assert outbox.take() == [
        OutputSegment("other", 1, ("y",)),
        OutputSegment("r", 1, ("b",)),
        OutputSegment("r", 2, ("c",)),
    ]
    outbox.sent(1)
    outbox.stored(4)
    assert outbox.settled


def test_what_is_forgotten_is_neither_sent_nor_weighed() -> None:
    outbox, lane = keeping("a")
    lane.text("b")
    outbox.forget("r")
    lane.text("c")
    assert (outbox.take(), outbox.weight, outbox.settled) == ([], 0, True)
    outbox.stored(1)
    assert outbox.weight == 0


def test_what_was_forgotten_is_not_held_when_the_stream_breaks() -> None:
    outbox, _ = keeping("a")
    outbox.forget("r")
    outbox.hold()
    assert outbox.held() == []


def test_a_run_that_begins_again_has_the_number_it_is_told() -> None:
    outbox, lane = keeping("a")
    again = outbox.begin_again("r", 7)
    again.text("b")
    assert lane.closed
    assert outbox.take() == [OutputSegment("r", 7, ("b",))]
    assert outbox.weight == MESSAGE_WEIGHT + 1


# All of it.


RUNS = ("a", "b", "c")
MOVES = st.lists(
    st.tuples(st.sampled_from(RUNS), st.sampled_from(["text", "event", "report"])) | st.just(("", "take")), max_size=60
)


def spoken(messages: Sequence[FromWorker]) -> dict[str, list[object]]:
    """What each run said, chunk by chunk with its number."""
    said: dict[str, list[object]] = defaultdict(list)
    for message in messages:
        if isinstance(message, OutputSegment):
            said[message.run_id] += list(enumerate(message.contents, message.first_seq))
        else:
            assert isinstance(message, RunEvent | RunReport)
            said[message.run_id].append(message)
    return said


@given(MOVES)
def test_what_is_put_in_comes_out_once_and_in_order_for_each_run(moves: list[tuple[str, str]]) -> None:
    outbox = Outbox()
    lanes: dict[str, Lane] = {run_id: outbox.lane(run_id) for run_id in RUNS}
    put: dict[str, list[object]] = defaultdict(list)
    took: list[FromWorker] = []
    for step, (run_id, what) in enumerate(moves):
        if what == "take":
            took += outbox.take()
            assert outbox.weight == 0
        elif what == "text":
            put[run_id].append((len(put[run_id]), str(step)))
            lanes[run_id].text(str(step))
        else:
            seq = len(put[run_id])
            report = RunReport(run_id, RunStatus.RUNNING, str(step), seq=seq)
            word = event(run_id, str(step), seq) if what == "event" else report
            put[run_id].append(word)
            lanes[run_id].add(word)
    took += outbox.take()
    assert spoken(took) == put
