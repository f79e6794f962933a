"""A good history that is doctored: each change is found, as what it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from chaos.counters import ISLANDS, MOVED, OUTLIVED, WOKE_ELSEWHERE, met
from chaos.oracle import judge
from chaos.record import PLANE, Promises
from chaos.speech import Ear, Speech
from tests.chaos.scenarios import a_crash_in_a_run
from tests.chaos.world import World

Events = list[dict[str, Any]]
PROMISES = Promises(resume=90)


@pytest.fixture
async def events() -> Events:
    """One task, watched, which outlived the control plane."""
    async with World() as world:
        await a_crash_in_a_run(world)
        await world.settle()
        world.watch((await world.clients.all_tasks())[0].id)
        assert (await world.verdict(PROMISES)).good
        return copy.deepcopy([dict(event) for event in world.history.events])


def the(events: Events, what: str) -> dict[str, Any]:
    return next(event for event in events if event["what"] == what)


def without(events: Events, what: str) -> None:
    events[:] = [event for event in events if event["what"] != what]


def also(events: Events, what: str, **changes: Any) -> None:
    events.append({**copy.deepcopy(the(events, what)), **changes})


# Each takes a good history and makes it a bad one.


def unknown_in_the_end(events: Events) -> None:
    without(events, "final")


def without_an_end(events: Events) -> None:
    the(events, "final").update(status="RUNNING", ends=[])


def an_end_that_the_story_does_not_tell(events: Events) -> None:
    the(events, "final").update(ends=[])


def two_ends(events: Events) -> None:
    the(events, "final").update(ends=["FAILED", "COMPLETED"])


def an_end_that_changed(events: Events) -> None:
    the(events, "watched").update(ends=["FAILED"])


def a_story_after_the_end(events: Events) -> None:
    the(events, "final").update(last_is_end=False)


def a_gap_in_the_story(events: Events) -> None:
    del the(events, "final")["atoms"][3]
    without(events, "watched")


def a_gap_for_a_watcher(events: Events) -> None:
    del the(events, "watched")["atoms"][3]


def something_else_for_a_watcher(events: Events) -> None:
    the(events, "watched")["atoms"][3][1] += 1


def a_second_task(events: Events) -> None:
    also(events, "final", task="another")


def never_answered(events: Events) -> None:
    without(events, "acknowledged")


def a_line_that_is_missing(events: Events) -> None:
    the(events, "final")["runs"][0]["stray"] = (17, "0:7:", "0:6:")


def a_line_that_was_said_before(events: Events) -> None:
    the(events, "final")["runs"][0]["stray"] = (17, "0:5:", "0:6:")


def a_byte_that_is_another(events: Events) -> None:
    the(events, "final")["runs"][0]["stray"] = (17, "0:6x", "0:6:")


def too_little(events: Events) -> None:
    the(events, "final")["runs"][0].update(digest="another", chars=17)


def cut_too_early(events: Events) -> None:
    the(events, "final")["runs"][0].update(truncated=True)


def not_cancelled(events: Events) -> None:
    events.append({"at": 1003.0, "what": "cancel acknowledged", "task": the(events, "final")["task"]})


def cancelled_unasked(events: Events) -> None:
    the(events, "final").update(status="CANCELLED", ends=["CANCELLED"])
    without(events, "watched")


def failed_without_a_fault(events: Events) -> None:
    the(events, "final").update(status="FAILED", ends=["FAILED"])
    the(events, "final")["runs"][0].update(status="FAILED", failure="worker_lost")
    without(events, "watched")


def _second_run(events: Events, **first: Any) -> None:
    final = the(events, "final")
    run = final["runs"][0]
    final["runs"] = [{**run, **first, "run": "the first"}, run]


def restarted_without_need(events: Events) -> None:
    _second_run(events, status="FAILED", failure="worker_lost")


def tried_again_after_success(events: Events) -> None:
    _second_run(events)


def completed_without_its_agent(events: Events) -> None:
    without(events, "ended")


def begun_twice(events: Events) -> None:
    also(events, "began")


def an_agent_that_nobody_knows(events: Events) -> None:
    also(events, "began", run="another")


def two_agents_at_once(events: Events) -> None:
    began = the(events, "began")
    also(events, "began", run="the first", worker="two", at=began["at"] + 10)
    also(events, "ended", run="the first", worker="two", at=began["at"] + 20)


def a_process_that_is_left(events: Events) -> None:
    events.append({"at": 2000.0, "what": "leftover", "run": "a run", "processes": ["sleep 600"]})


DOCTORED: list[tuple[Callable[[Events], None], str, str]] = [
    (unknown_in_the_end, "lost", "nobody knows it"),
    (without_an_end, "lost", "no end"),
    (an_end_that_the_story_does_not_tell, "lost", "its story ends []"),
    (two_ends, "doubled", "2 ends"),
    (an_end_that_changed, "doubled", "saw it end"),
    (a_story_after_the_end, "corrupted", "goes on after its end"),
    (a_gap_in_the_story, "corrupted", "its story has gaps"),
    (a_gap_for_a_watcher, "corrupted", "entries have gaps"),
    (something_else_for_a_watcher, "corrupted", "does not say"),
    (a_second_task, "doubled", "already"),
    (never_answered, "unexpected", "nobody ever answered"),
    (a_line_that_is_missing, "corrupted", "in place of"),
    (a_line_that_was_said_before, "doubled", "in place of"),
    (a_byte_that_is_another, "corrupted", "in place of"),
    (too_little, "corrupted", "too early"),
    (cut_too_early, "corrupted", "below the limit"),
    (not_cancelled, "unexpected", "cancel was acknowledged"),
    (cancelled_unasked, "unexpected", "nobody asked"),
    (failed_without_a_fault, "unexpected", "it failed"),
    (restarted_without_need, "unexpected", "restarted without need"),
    (tried_again_after_success, "doubled", "tried again"),
    (completed_without_its_agent, "unexpected", "never was"),
    (begun_twice, "doubled", "began the same run"),
    (an_agent_that_nobody_knows, "doubled", "knows nothing"),
    (two_agents_at_once, "doubled", "at the same time"),
    (a_process_that_is_left, "unexpected", "are left"),
]


@pytest.mark.parametrize(("doctor", "kind", "says"), DOCTORED, ids=[doctor.__name__ for doctor, _, _ in DOCTORED])
def test_what_is_wrong_is_found(events: Events, doctor: Callable[[Events], None], kind: str, says: str) -> None:
    doctor(events)
    verdict = judge(events, PROMISES)
    assert any(says in finding.what for finding in verdict.of(kind)), [str(finding) for finding in verdict.findings]


def test_a_history_in_which_a_planned_fault_did_not_happen_proves_nothing(events: Events) -> None:
    planned = {"kill: control plane": 1, "kill: worker": 1, OUTLIVED: 1}
    verdict = judge(events, PROMISES, planned)
    assert (verdict.findings, verdict.void) == ([], ["kill: worker: 0 of 1"])
    assert not verdict.good


@pytest.mark.parametrize(("workers", "counted"), [("aab", 1), ("aba", 2), ("aaa", 0), ("a", 0)])
def test_a_run_was_given_to_another_worker_only_if_it_is_another(events: Events, workers: str, counted: int) -> None:
    final = the(events, "final")
    final["runs"] = [{**final["runs"][0], "worker": worker} for worker in workers]
    assert judge(events, PROMISES).counters[ISLANDS] == counted


def kills_that_met_a_run(events: Events, **fault: Any) -> int:
    """With these facts of the fault in place of those that it has."""
    for event in events:
        if event["what"] == "fault":
            event.update(fault)
    return judge(events, PROMISES).counters[met("kill: control plane")]


@pytest.mark.parametrize(
    ("fault", "counted"),
    [({}, 1), ({"target": f"{PLANE}-1", "workers": ["one"]}, 1), ({"target": f"{PLANE}-1", "workers": []}, 0)],
    ids=["of all", "its own", "another's"],
)
def test_a_fault_met_a_run_if_it_was_one_of_its_control_plane(
    events: Events, fault: dict[str, Any], counted: int
) -> None:
    assert kills_that_met_a_run(events, **fault) == counted


@pytest.mark.parametrize(("what", "seconds"), [("began", -0.1), ("ended", 0.1)])
def test_a_fault_met_no_run_before_its_agent_began_or_after_it_ended(events: Events, what: str, seconds: float) -> None:
    assert kills_that_met_a_run(events, at=the(events, what)["at"] + seconds) == 0


PAST_GRACE = {"fault": "freeze past the grace", "target": "one"}


def visits(*planes: str) -> Events:
    """The worker comes to these, one in each second."""
    return [{"what": "connected", "worker": "one", "plane": plane, "at": at} for at, plane in enumerate(planes)]


@pytest.mark.parametrize(
    ("planes", "fault", "counted"),
    [("ab", PAST_GRACE, 1), ("aab", PAST_GRACE, 0), ("aa", PAST_GRACE, 0), ("a", PAST_GRACE, 0), ("ab", {}, 0)],
    ids=["elsewhere", "later", "the same", "nowhere", "another fault"],
)
def test_a_frozen_worker_woke_to_another_control_plane_if_that_is_where_it_came_next(
    planes: str, fault: dict[str, Any], counted: int
) -> None:
    struck = {"what": "fault", "at": 0.5, "fault": "kill", "target": "one", **fault}
    assert judge([*visits(*planes), struck], PROMISES).counters[WOKE_ELSEWHERE] == counted


def lost_in(events: Events, *faults: dict[str, Any]) -> bool:
    """Whether a run that was lost 6 seconds after its assignment, in the midst of these faults, is a finding."""
    assigned = the(events, "clock")["utc"]
    _second_run(events, status="FAILED", failure="worker_lost", assigned=assigned, finished=assigned + 6)
    events += [{"target": "one", **fault} for fault in faults]
    return any("restarted" in finding.what for finding in judge(events, Promises(resume=10)).findings)


def outage(fault: str, begin: float, end: float) -> list[dict[str, Any]]:
    return [{"what": "fault", "fault": fault, "at": begin}, {"what": "fault over", "fault": fault, "at": end}]


def test_a_run_may_be_lost_when_its_worker_dies(events: Events) -> None:
    assert not lost_in(events, *outage("kill", 1003, 1004))


def test_it_may_not_when_the_worker_died_at_another_time(events: Events) -> None:
    assert lost_in(events, *outage("kill", 1103, 1104))


def test_it_may_when_the_worker_was_away_for_long(events: Events) -> None:
    assert not lost_in(events, *outage("hold there", 1003, 1014))


def test_it_may_not_when_the_worker_was_away_for_less(events: Events) -> None:
    assert lost_in(events, *outage("hold there", 1003, 1008))


@pytest.mark.parametrize(("until", "found"), [(1014, False), (1008, True)])
def test_a_worker_that_was_frozen_past_the_grace_was_away_as_long_as_that(
    events: Events, until: float, found: bool
) -> None:
    assert lost_in(events, *outage("freeze past the grace", 1003, until)) is found


def test_two_outages_that_follow_on_one_another_are_one(events: Events) -> None:
    assert not lost_in(events, *outage("hold there", 1003, 1008), *outage("freeze", 1010, 1015))


def back(*moments: float) -> list[dict[str, Any]]:
    """The worker is on a new stream, at each of these."""
    return [{"what": "connected", "worker": "one", "at": at} for at in moments]


def kills_in_a_row() -> list[dict[str, Any]]:
    """Of the only control plane, a second apart and each of a second: together longer than a worker waits."""
    kills = [event for second in range(1000, 1020, 2) for event in outage("kill", second, second + 1)]
    return [{**event, "target": PLANE} for event in kills]


def test_it_may_in_a_row_of_outages_in_which_the_worker_never_came_back(events: Events) -> None:
    assert not lost_in(events, *kills_in_a_row())


def test_it_may_not_in_a_row_of_outages_if_the_worker_came_back_in_each_gap(events: Events) -> None:
    assert lost_in(events, *kills_in_a_row(), *back(*(second + 1.5 for second in range(1000, 1020, 2))))


def test_it_may_not_if_the_worker_came_back_once_between_two_outages(events: Events) -> None:
    assert lost_in(events, *outage("hold there", 1003, 1008), *outage("freeze", 1010, 1015), *back(1009))


def test_another_worker_that_came_back_excuses_nothing_less(events: Events) -> None:
    others = [{**event, "worker": "two"} for event in back(1009)]
    assert not lost_in(events, *outage("hold there", 1003, 1008), *outage("freeze", 1010, 1015), *others)


def at_one_of_several(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same faults, of a control plane that is not alone and has the worker."""
    return [{**event, "target": f"{PLANE}-1", "workers": ["one"]} for event in events]


def test_it_may_when_the_only_control_plane_was_away_for_long(events: Events) -> None:
    assert not lost_in(events, *({**event, "target": PLANE} for event in outage("freeze", 1003, 1014)))


@pytest.mark.parametrize("fault", ["kill", "freeze past the lease"])
def test_it_may_not_when_one_of_several_control_planes_was(events: Events, fault: str) -> None:
    assert lost_in(events, *at_one_of_several(outage(fault, 1003, 1014)))


@pytest.mark.parametrize(("workers", "counted"), [(["one"], 1), ([], 0)], ids=["its own", "another's"])
def test_only_the_death_of_its_own_control_plane_is_outlived_by_a_run(
    events: Events, workers: list[str], counted: int
) -> None:
    for event in events:
        if event["what"] in {"fault", "fault over"}:
            event.update(target=f"{PLANE}-1", workers=workers)
    verdict = judge(events, PROMISES)
    assert verdict.findings == []
    assert [verdict.counters[what] for what in ("kill: control plane", OUTLIVED, MOVED)] == [1, counted, counted]


def test_an_ear_notes_the_line_in_which_it_first_hears_something_else() -> None:
    speech = Speech(7, lines=3, width=2)
    ear = Ear(speech)
    for text in ("7:0:..\n7:", "1:..\n7:1:.", ".\n"):
        ear.hear(text)
    assert ear.stray == (16, "7:1:.", "7:2:.")


def test_an_ear_knows_all_that_was_said_by_its_digest() -> None:
    speech = Speech(7, lines=3, width=200_000)
    ear = Ear(speech)
    for piece in speech.pieces():
        ear.hear(piece)
    assert (ear.stray, ear.digest) == (None, speech.digest())
