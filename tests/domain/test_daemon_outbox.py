from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.daemon.outbox import FLOOD, OVERHEAD, Lane, Outbox
from taskrun.domain.protocol import FromWorker, Heartbeat, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage
from taskrun.domain.status import ChatRole, RunEventType, RunStatus, WorkerStatus

BEAT = Heartbeat(WorkerStatus.IDLE, 0, 10, 1)


def event(run_id: str, name: str = "") -> RunEvent:
    return RunEvent(run_id, RunEventType.TOOL_REQUESTED, {"name": name})


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
    assert outbox.take() == [OutputSegment("r", 0, ("a",)), event("r"), OutputSegment("r", 1, ("b",))]


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


def test_it_is_full_at_a_mebibyte_of_text_or_some_four_thousand_chunks() -> None:
    for chunk, count in (("a", 4081), ("a" * 65536, 16), ("é" * 32768, 8)):
        outbox = Outbox()
        lane = outbox.lane("r")
        for _ in range(count - 1):
            lane.text(chunk)
        assert not outbox.full
        lane.text(chunk)
        assert outbox.full
        outbox.take()
        assert not outbox.full


def test_reports_get_in_when_it_is_full_and_count_towards_a_flood() -> None:
    outbox = Outbox()
    for number in range(FLOOD // OVERHEAD):
        assert not outbox.flooded
        outbox.add(RunReport(str(number), RunStatus.RUNNING))
    assert outbox.full
    assert outbox.flooded
    assert len(outbox.take()) == FLOOD // OVERHEAD


def test_the_words_in_a_message_count() -> None:
    report = RunReport("r", RunStatus.FAILED, "x" * 100)
    message = RunMessage("r", ChatRole.SYSTEM, "x" * 100)
    for word in (report, message, event("r", "x" * 96)):
        outbox = Outbox()
        outbox.add(word)
        assert outbox.weight == OVERHEAD + 100


def test_a_closed_lane_takes_nothing() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    lane.close()
    lane.text("late")
    lane.add(event("r"))
    assert not outbox


def test_a_cleared_outbox_holds_nothing_and_is_as_new() -> None:
    outbox = Outbox()
    lane = outbox.lane("r")
    lane.text("a")
    lane.add(event("r"))
    outbox.beat(BEAT)
    outbox.clear()
    assert (bool(outbox), outbox.weight) == (False, 0)
    lane.text("b")
    assert outbox.take() == [OutputSegment("r", 1, ("b",))]


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
            put[run_id].append((sum(isinstance(word, tuple) for word in put[run_id]), str(step)))
            lanes[run_id].text(str(step))
        else:
            word = event(run_id, str(step)) if what == "event" else RunReport(run_id, RunStatus.RUNNING, str(step))
            put[run_id].append(word)
            lanes[run_id].add(word)
    took += outbox.take()
    assert spoken(took) == put
