"""Output arrives complete, in order, once, and never without end."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane import hearing
from taskrun.domain.control_plane.room import CHUNK_BYTES, ENTRY_BYTES
from taskrun.domain.events import MessageRefused
from taskrun.domain.protocol import CancelRun
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage
from taskrun.domain.status import ChatRole, RunEventType, RunStatus
from taskrun.testing.simulation import Simulation


class Streamer:
    """One worker with one run."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.session = sim.connect()
        self.task_id = sim.create().id
        self.run_id = sim.assigned(self.session).run_id

    def say(self, first_seq: int, *contents: str) -> None:
        self.sim.say(self.session, OutputSegment(self.run_id, first_seq, contents))

    @property
    def stored(self) -> list[tuple[int, tuple[str, ...]]]:
        return [(body.first_seq, body.contents) for body in self.segments]

    @property
    def segments(self) -> list[OutputSegment]:
        return [entry.body for entry in self.sim.story(self.task_id) if isinstance(entry.body, OutputSegment)]


@pytest.fixture
def streamer(sim: Simulation) -> Streamer:
    return Streamer(sim)


def test_output_is_stored_as_it_comes_one_entry_a_message(streamer: Streamer) -> None:
    streamer.say(0, "a", "b")
    streamer.say(2, "c")
    assert streamer.stored == [(0, ("a", "b")), (2, ("c",))]


def test_doubled_chunks_are_stored_once(streamer: Streamer) -> None:
    streamer.say(0, "a", "b")
    streamer.say(0, "a", "b")
    streamer.say(1, "b", "c")
    assert streamer.stored == [(0, ("a", "b")), (2, ("c",))]


def test_chunks_that_are_missing_leave_a_gap_in_the_runs_numbers_for_all_to_see(streamer: Streamer) -> None:
    streamer.say(0, "a")
    streamer.say(5, "f")
    streamer.say(2, "late")
    assert streamer.stored == [(0, ("a",)), (5, ("f",))]


def test_the_empty_chunk_that_ends_an_old_workers_output_is_not_stored(streamer: Streamer) -> None:
    streamer.say(0, "a")
    streamer.say(1, "")
    assert streamer.stored == [(0, ("a",))]


def test_output_of_an_unknown_run_is_not_stored_and_its_worker_is_told_to_stop(streamer: Streamer) -> None:
    sim = streamer.sim
    tasks, stories = dict(sim.store.tasks), {key: list(story) for key, story in sim.store.stories.items()}
    sim.say(streamer.session, OutputSegment("unknown", 0, ("a",)), RunMessage("unknown", ChatRole.USER, "b"))
    assert (sim.store.tasks, sim.store.stories) == (tasks, stories)
    assert [message.run_id for message in sim.heard(streamer.session) if isinstance(message, CancelRun)] == [
        "unknown",
        "unknown",
    ]
    assert [refused.what for refused in sim.happened(MessageRefused)] == ["output", "event"]


def test_output_that_comes_after_the_runs_end_is_not_stored(streamer: Streamer) -> None:
    streamer.sim.report(streamer.session, streamer.run_id, RunStatus.COMPLETED)
    streamer.say(0, "late")
    assert streamer.stored == []


def test_a_run_that_was_ended_unheard_and_talks_on_is_not_told_to_stop_again_and_again(streamer: Streamer) -> None:
    sim = streamer.sim
    sim.cancel(streamer.task_id)
    sim.wait(15)
    sim.heard(streamer.session)
    streamer.say(0, "late")
    assert len(sim.heard(streamer.session)) == 1
    streamer.say(1, "later")
    assert sim.heard(streamer.session) == []
    assert streamer.stored == []


def test_output_beyond_the_limit_is_dropped_and_the_story_says_so_once(
    streamer: Streamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What two chunks of two bytes take, each in an entry of its own.
    monkeypatch.setattr(hearing, "MAX_OUTPUT_BYTES", 2 * (ENTRY_BYTES + CHUNK_BYTES + 2))
    for seq, text in enumerate(("ab", "é", "c", "d")):
        streamer.say(seq, text)
    assert [(body.contents, body.truncated) for body in streamer.segments] == [
        (("ab",), False),
        (("é",), False),
        ((), True),
    ]
    assert streamer.segments[-1].first_seq == 2


def test_chunks_of_nothing_take_room_too(streamer: Streamer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "MAX_OUTPUT_BYTES", 1000)
    streamer.sim.say(streamer.session, OutputSegment(streamer.run_id, 0, ("a", *[""] * 1000)))
    assert [body.truncated for body in streamer.segments] == [True]


def test_events_messages_and_metadata_count_as_output_so_that_no_story_grows_without_end(
    streamer: Streamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "MAX_OUTPUT_BYTES", 330)
    event = RunEvent(streamer.run_id, RunEventType.TOOL_REQUESTED, {"tool": "bash"})
    message = RunMessage(streamer.run_id, ChatRole.USER, "and then?")
    segment = OutputSegment(streamer.run_id, 0, ("a",), {"stream": "stderr"})
    for _ in range(3):
        streamer.sim.say(streamer.session, event, message, segment)
    assert [entry.body for entry in streamer.sim.story(streamer.task_id)[2:]] == [
        event,
        message,
        segment,
        event,
        OutputSegment(streamer.run_id, 1, (), truncated=True),
    ]
