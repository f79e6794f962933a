from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.conversation import (
    FOLLOW_UP_WAIT_MS,
    follow_up,
    is_same_key,
    known_as,
    last_session,
    message_id,
)
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.records import Continuation, Run, Task, TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus

SPEC = TaskSpec(
    "coder",
    '"build it"',
    {"team": "docs"},
    timeout_ms=5,
    priority=3,
    max_attempts=2,
    retry_on=frozenset({FailureKind.TIMEOUT}),
    selector=(("gpu", "yes"), ("zone", "a")),
    idempotency_key="first",
)
TALKED = Run("r-1", "atlas", RunStatus.COMPLETED, 1, session_id="s-1", taken=("m-1",))


def ended(*runs: Run, spec: TaskSpec = SPEC) -> Task:
    return Task("t-1", spec, TaskStatus.COMPLETED, "me", 0, runs)


def test_a_follow_up_has_the_agent_and_limits_of_before_and_goes_to_the_worker_that_holds_the_session() -> None:
    spec = follow_up(ended(TALKED), 'say "é"', fork=True, key="k")
    assert spec == TaskSpec(
        "coder",
        '"say \\"é\\""',
        {"team": "docs"},
        timeout_ms=5,
        priority=3,
        max_attempts=2,
        retry_on=frozenset({FailureKind.TIMEOUT}),
        selector=(("gpu", "yes"), ("taskrun.worker", "atlas"), ("zone", "a")),
        idempotency_key="k",
        queue_timeout_ms=FOLLOW_UP_WAIT_MS,
        continues=Continuation("t-1", "s-1", fork=True),
    )
    assert spec.holder == "atlas"
    assert replace(spec, continues=None).holder == TaskSpec("coder", "1").holder == ""


def test_a_follow_up_of_a_follow_up_is_pinned_anew_and_waits_as_long_as_the_task_before_it() -> None:
    first = follow_up(ended(TALKED), "more", fork=False, key="")
    later = TaskSpec("coder", "1", selector=first.selector, queue_timeout_ms=7)
    moved = Run("r-2", "bruno", RunStatus.COMPLETED, 1, session_id="s-2")
    second = follow_up(ended(moved, spec=later), "x", fork=False, key="")
    assert (second.holder, second.queue_timeout_ms) == ("bruno", 7)
    assert second.continues == Continuation("t-1", "s-2")


def test_a_session_is_that_of_the_last_run_which_had_one() -> None:
    lost = Run("r-2", "bruno", RunStatus.FAILED, 2)
    assert last_session(ended(TALKED, lost)) is TALKED
    with pytest.raises(FailedPrecondition, match="Task t-1 has no session to go on with: its agent coder keeps none"):
        follow_up(ended(lost), "more", fork=False, key="")


def test_an_id_stands_for_who_asks_under_which_key_and_for_what() -> None:
    id = message_id("me", "k", "more")
    assert id == message_id("me", "k", "more")
    assert is_same_key(id, message_id("me", "k", "something else"))
    assert id != message_id("me", "k", "something else")
    others = [message_id("you", "k", "more"), message_id("me", "l", "more"), message_id("mek", "", "more")]
    assert not [other for other in others if is_same_key(id, other)]


def test_what_a_run_has_taken_is_known_by_its_key() -> None:
    same, other = message_id("me", "k", "more"), message_id("me", "k", "else")
    task = ended(Run("r-1", "atlas", RunStatus.FAILED, 1, taken=("m-1", same)), TALKED)
    assert [known_as(id, task) for id in (same, other, "m-1", "m-2")] == [same, same, "m-1", ""]
    assert known_as(message_id("me", "l", "more"), task, ["m-3", message_id("me", "l", "else")])
