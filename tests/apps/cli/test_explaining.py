"""Why a task waits, as it is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from taskrun.apps.cli.showing import age, local_time
from taskrun.domain.errors import NotFound
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.status import TaskStatus
from tests.apps.cli.conftest import Taskrun
from tests.apps.cli.stub import EXPLANATION, StubClient


def test_a_sentence_comes_first_then_its_place_and_then_what_each_worker_lacks(
    client: StubClient, taskrun: Taskrun
) -> None:
    ended = taskrun("explain", "t-1")
    assert (ended.code, ended.err, client.asked[1:]) == (0, "", ["t-1"])
    assert ended.out.splitlines() == [
        "Task t-1 is PENDING: no worker that it could go to has a free slot.",
        f"It has waited for {age(1_000)}.",
        "Of the tasks that need the same 3 go before it.",
        "",
        "WORKER  LACKS",
        "w-1     has no free slot: 4 of 4 runs",
        "w-2     lacks the label gpu=yes (it has gpu=no); is DRAINING",
    ]


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (Ahead(0), "Of the tasks that need the same it is the next."),
        (Ahead(1), "Of the tasks that need the same 1 goes before it."),
        (Ahead(10_000, or_more=True), "Of the tasks that need the same 10,000 or more go before it."),
    ],
)
def test_its_place_in_the_queue_is_said_in_words(client: StubClient, taskrun: Taskrun, ahead: Ahead, said: str) -> None:
    client.explanation = replace(EXPLANATION, ahead=ahead)
    assert said in taskrun("explain", "t-1").out.splitlines()


def test_who_lacks_nothing_and_when_a_rest_ends_is_said(client: StubClient, taskrun: Taskrun) -> None:
    client.explanation = replace(EXPLANATION, ahead=None, rests_until_ms=5_000, workers=(WorkerFit("w-1"),))
    lines = taskrun("explain", "t-1").out.splitlines()
    assert f"Its rest ends at {local_time(5_000)}." in lines
    assert lines[-1] == "w-1     nothing: it could take the task now"


def test_a_task_that_does_not_wait_is_one_sentence(client: StubClient, taskrun: Taskrun) -> None:
    client.explanation = Explanation("t-1", TaskStatus.RUNNING, "run 2 is on w-1")
    ended = taskrun("explain", "t-1")
    assert (ended.out, ended.err) == ("Task t-1 is RUNNING: run 2 is on w-1.\n", "")


def test_that_not_all_workers_are_shown_is_a_remark(client: StubClient, taskrun: Taskrun) -> None:
    client.explanation = replace(EXPLANATION, workers_looked_at=250)
    assert taskrun("explain", "t-1").err == "These are the nearest 2 of 250 workers.\n"


def test_what_strangers_have_written_is_made_harmless(client: StubClient, taskrun: Taskrun) -> None:
    worker = WorkerFit("w-1", ("lacks the label a=b (it has a=\x1b[2J)",))
    client.explanation = replace(EXPLANATION, summary="no \x1b[2J", workers=(worker,))
    out = taskrun("explain", "t-1").out
    assert "\x1b" not in out
    assert "no \\x1b[2J." in out


def test_in_json_it_has_the_wires_names(client: StubClient, taskrun: Taskrun) -> None:
    assert json.loads(taskrun("explain", "t-1", "--json").out) == {
        "task_id": "t-1",
        "status": "PENDING",
        "summary": "no worker that it could go to has a free slot",
        "waits_since_ms": 1_000,
        "ahead": {"tasks": 3, "or_more": False},
        "rests_until_ms": 0,
        "workers": [
            {"worker_id": "w-1", "lacks": ["has no free slot: 4 of 4 runs"], "fits": True},
            {"worker_id": "w-2", "lacks": ["lacks the label gpu=yes (it has gpu=no)", "is DRAINING"], "fits": False},
        ],
        "workers_looked_at": 2,
    }


def test_an_unknown_task_is_wrong_usage(client: StubClient, taskrun: Taskrun) -> None:
    client.error = NotFound("There is no task t-9.")
    ended = taskrun("explain", "t-9")
    assert (ended.code, ended.err) == (2, "taskrun: There is no task t-9.\n")
