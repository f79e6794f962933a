from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from taskrun.apps.cli.watching import Teller
from taskrun.domain.errors import Unavailable
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage, StoryBody, StoryEntry, TaskChange
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus
from tests.apps.cli.conftest import Taskrun
from tests.apps.cli.stub import RUN, TASK, StubClient

ASSIGNED = replace(RUN, status=RunStatus.ASSIGNED, started_at_ms=0, finished_at_ms=0, backend=None, usage=None)
FAILED_RUN = replace(RUN, status=RunStatus.FAILED, failure=FailureKind.WORKER_LOST, error="gone")


def story(*bodies: StoryBody) -> list[StoryEntry | BaseException]:
    entries: list[StoryEntry | BaseException] = []
    seq = 0
    for body in bodies:
        entry = StoryEntry(seq, 1_000, body)
        entries.append(entry)
        seq = entry.next_seq
    return entries


TOLD = story(
    TaskChange(TaskStatus.PENDING),
    TaskChange(TaskStatus.RUNNING, run=ASSIGNED),
    RunEvent("r-1", RunEventType.EXECUTION_STARTED),
    RunEvent("r-1", RunEventType.SESSION_INITIALIZED, {"model": "claude"}),
    OutputSegment("r-1", 0, ("Hel", "lo")),
    RunEvent("r-1", RunEventType.TOOL_REQUESTED, {"tool": "Bash", "input": "ls"}),
    RunMessage("r-1", ChatRole.USER, "one more\nthing\n"),
    RunMessage("r-1", ChatRole.ASSISTANT, "not shown: it was the output"),
    RunMessage("r-1", ChatRole.SYSTEM, "well"),
    OutputSegment("r-1", 2, (" you\n",)),
    TaskChange(TaskStatus.COMPLETED, run=RUN),
)


def test_output_goes_to_standard_output_and_remarks_to_standard_error(client: StubClient, taskrun: Taskrun) -> None:
    client.story = TOLD
    ended = taskrun("watch-task", "t-1")
    assert (ended.code, ended.out) == (0, "Hello you\n")
    assert ended.err.splitlines() == [
        "· waiting for a worker; taskrun explain t-1 says why",
        "· run 1 on w-1",
        "· model claude",
        "· Bash  ls",
        "· user: one more",
        "    thing",
        "· system: well",
        "· COMPLETED · 2.5s · claude · 7 tokens in, 3 out · $0.5000",
    ]


def test_output_in_a_pipe_is_untouched(client: StubClient, taskrun: Taskrun) -> None:
    client.story = story(OutputSegment("r-1", 0, ("\x1b[1mbold\x00\r\n",)), TaskChange(TaskStatus.COMPLETED, run=RUN))
    assert taskrun("watch-task", "t-1").out == "\x1b[1mbold\x00\r\n"


def test_output_on_a_terminal_cannot_redraw_it(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.story = story(
        OutputSegment("r-1", 0, ("\x1b]52;c;x\x07a\tb\r\nc",)), TaskChange(TaskStatus.COMPLETED, run=RUN)
    )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    # A remark begins on a line of its own.
    assert taskrun("watch-task", "t-1").out == "\\x1b]52;c;x\\x07a\tb\nc\n"


def test_a_task_that_is_created_can_be_watched_at_once(client: StubClient, taskrun: Taskrun) -> None:
    client.story = TOLD
    ended = taskrun("create-task", "--agent=general", "--input=x", "--watch")
    assert (ended.code, ended.out) == (0, "Hello you\n")
    assert ended.err.startswith("task t-1\n")


def test_who_creates_and_watches_in_json_hears_of_the_task_first(client: StubClient, taskrun: Taskrun) -> None:
    client.story = TOLD
    ended = taskrun("create-task", "--agent=general", "--input=x", "--watch", "--json")
    first, *rest = map(json.loads, ended.out.splitlines())
    assert (first["task"]["id"], len(rest), ended.err) == ("t-1", len(TOLD), "")


@pytest.mark.parametrize(
    ("status", "run", "last"),
    [
        (
            TaskStatus.FAILED,
            replace(RUN, failure=FailureKind.AGENT_ERROR, error="no"),
            "FAILED (agent_error): no · 2.5s",
        ),
        (TaskStatus.FAILED, replace(ASSIGNED, failure=FailureKind.TIMEOUT), "FAILED (timeout)"),
        (TaskStatus.CANCELLED, None, "CANCELLED"),
    ],
)
def test_a_task_that_did_not_complete_is_exit_code_1(
    client: StubClient, taskrun: Taskrun, status: TaskStatus, run: None, last: str
) -> None:
    client.story = story(TaskChange(TaskStatus.RUNNING, cancel_requested=True), TaskChange(status, run=run))
    ended = taskrun("watch-task", "t-1")
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert first == "· cancel requested"
    assert second.startswith(f"· {last}")


def test_a_task_that_failed_without_a_run_says_why(client: StubClient, taskrun: Taskrun) -> None:
    client.story = story(TaskChange(TaskStatus.FAILED, failure=FailureKind.QUEUE_TIMEOUT, error="it waited 5.0 s"))
    ended = taskrun("watch-task", "t-1")
    assert (ended.code, ended.err) == (1, "· FAILED (queue_timeout): it waited 5.0 s\n")
    [line] = taskrun("watch-task", "t-1", "--json").out.splitlines()
    change = json.loads(line)["change"]
    assert (change["failure_kind"], change["error_message"]) == ("queue_timeout", "it waited 5.0 s")


TRACE = "It ended with exit code 1.\r\nTraceback:\n\tline 1\n\x1b[2JKeyError\n"


def test_the_last_words_of_an_agent_are_lines_of_their_own(client: StubClient, taskrun: Taskrun) -> None:
    run = replace(RUN, status=RunStatus.FAILED, failure=FailureKind.AGENT_ERROR, error=TRACE)
    client.story = story(TaskChange(TaskStatus.PENDING, run=run), TaskChange(TaskStatus.FAILED, run=run))
    words = ["    It ended with exit code 1.", "    Traceback:", "    \tline 1", "    \\x1b[2JKeyError"]
    first, *told = taskrun("watch-task", "t-1").err.splitlines()
    assert first == "· run 1 failed (agent_error); waiting for another"
    assert told[:4] == words
    assert told[4].startswith("· FAILED (agent_error) · 2.5s")
    assert told[5:] == words


def test_a_lost_run_is_told_before_the_next(client: StubClient, taskrun: Taskrun) -> None:
    client.story = story(TaskChange(TaskStatus.PENDING, run=FAILED_RUN), TaskChange(TaskStatus.COMPLETED, run=RUN))
    assert "· run 1 failed (worker_lost): gone; waiting for another" in taskrun("watch-task", "t-1").err


def test_who_is_given_a_worker_at_once_is_not_said_to_wait(capsys: pytest.CaptureFixture[str]) -> None:
    told = [
        StoryEntry(0, 1, TaskChange(TaskStatus.PENDING)),
        StoryEntry(1, 1, TaskChange(TaskStatus.RUNNING, run=ASSIGNED)),
        StoryEntry(2, 9, TaskChange(TaskStatus.PENDING, run=FAILED_RUN)),
        StoryEntry(3, 9, TaskChange(TaskStatus.RUNNING, run=replace(ASSIGNED, attempt=2))),
    ]
    Teller().tell(told)
    assert capsys.readouterr().err.splitlines() == [
        "· run 1 on w-1",
        "· run 1 failed (worker_lost): gone",
        "· run 2 on w-1",
    ]


def test_cut_output_is_told(client: StubClient, taskrun: Taskrun) -> None:
    client.story = story(OutputSegment("r-1", 0, (), truncated=True), TaskChange(TaskStatus.COMPLETED, run=RUN))
    assert "the output was too long" in taskrun("watch-task", "t-1").err


def test_json_is_one_object_a_line(client: StubClient, taskrun: Taskrun) -> None:
    client.story = TOLD
    ended = taskrun("watch-task", "t-1", "--json", "--from-seq=4")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [set(line) - {"seq", "timestamp_ms", "next_seq"} for line in lines] == [
        {"output"},
        {"event"},
        {"message"},
        {"message"},
        {"message"},
        {"output"},
        {"change"},
    ]
    assert lines[0]["output"]["content"] == "Hello"
    assert [line["next_seq"] for line in lines][:-1] == [line["seq"] for line in lines][1:]
    assert (ended.code, ended.err) == (0, "")


def test_ctrl_c_leaves_the_task_running_and_says_how_to_come_back(client: StubClient, taskrun: Taskrun) -> None:
    client.story = [*TOLD[:5], KeyboardInterrupt()]
    ended = taskrun("-a", "https://x:1", "-a", "https://y:1", "watch-task", "t-1")
    assert ended.code == 130
    assert ended.err.endswith(
        "The task goes on. Come back to it: taskrun watch-task t-1 --from-seq 6 --addr=https://x:1 --addr=https://y:1\n"
    )
    assert client.asked[1:] == [("t-1", 0)]


def test_a_watch_that_is_cut_says_how_to_come_back(client: StubClient, taskrun: Taskrun) -> None:
    client.story = [*TOLD[:5], Unavailable("The stream broke.")]
    ended = taskrun("watch-task", "t-1")
    assert ended.code == 3
    assert "watch-task t-1 --from-seq 6" in ended.err
    assert ended.err.endswith("taskrun: The stream broke.\n")


def test_a_watch_that_never_began_does_not(client: StubClient, taskrun: Taskrun) -> None:
    client.story = [Unavailable("Nobody is there.")]
    ended = taskrun("watch-task", "t-1")
    assert (ended.code, ended.err) == (3, "taskrun: Nobody is there.\n")


def test_a_watch_from_behind_the_end_has_the_tasks_exit_code(client: StubClient, taskrun: Taskrun) -> None:
    client.story, client.tasks = TOLD, [replace(TASK, status=TaskStatus.FAILED)]
    assert taskrun("watch-task", "t-1", "--from-seq=99").code == 1


def test_a_ctrl_c_while_output_is_shown_waits_until_it_is_counted(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    def interrupt(teller: Teller, entries: Sequence[StoryEntry]) -> None:
        shown.append(entries[0].seq)
        if entries[0].seq == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Teller, "tell", interrupt)
    client.story = TOLD
    ended = taskrun("watch-task", "t-1")
    assert (ended.code, shown) == (130, [0, 1, 2])
    assert "--from-seq 3" in ended.err


def test_a_second_ctrl_c_does_not_wait(client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(teller: Teller, entries: Sequence[StoryEntry]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("It went on.")

    monkeypatch.setattr(Teller, "tell", hang)
    client.story = TOLD
    assert taskrun("watch-task", "t-1").code == 130


def test_who_begins_behind_the_end_is_told_how_it_ended(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, status=TaskStatus.CANCELLED)]
    ended = taskrun("watch-task", "t-1", "--from-seq", "99")
    assert (ended.code, ended.out, ended.err) == (1, "", "· CANCELLED\n")


_TELL = """
from taskrun.apps.cli.watching import Teller
from taskrun.domain.records import OutputSegment, StoryEntry, TaskChange
from taskrun.domain.status import TaskStatus
bodies = OutputSegment("r", 0, ("no end of line",)), TaskChange(TaskStatus.COMPLETED)
Teller().tell([StoryEntry(seq, 0, body) for seq, body in enumerate(bodies)])
"""


@pytest.mark.parametrize(
    ("errors", "out"), [(subprocess.STDOUT, "no end of line\n· COMPLETED\n"), (subprocess.PIPE, "no end of line")]
)
def test_a_remark_begins_a_line_where_output_and_remarks_share_a_pipe(errors: int, out: str) -> None:
    told = subprocess.run([sys.executable, "-c", _TELL], stdout=subprocess.PIPE, stderr=errors, text=True, check=True)
    assert told.stdout == out
