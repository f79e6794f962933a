"""What people see of an agent's events, on a terminal and in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from taskrun.apps.cli.watching import Teller
from taskrun.domain.records import OutputSegment, RunEvent, StoryBody, StoryEntry, TaskChange
from taskrun.domain.status import RunEventType, TaskStatus

E = RunEventType
Told = Callable[..., list[str]]


def event(type: RunEventType, **metadata: object) -> RunEvent:
    return RunEvent("r", type, {name: str(value) for name, value in metadata.items()})


ASKED = event(E.TOOL_REQUESTED, tool="Bash", tool_use_id="1", input="ls\n\t-la")
ANSWERED = event(E.TOOL_COMPLETED, tool="Bash", tool_use_id="1", result_size=1234)
FAILED = event(E.TOOL_COMPLETED, tool="Bash", tool_use_id="1", outcome="error")
DENIED = event(E.PERMISSION_ASKED, tool="Bash", tool_use_id="1", input="ls", decision="denied")
ALLOWED = event(E.PERMISSION_ASKED, tool="Bash", tool_use_id="1", input="ls", decision="allowed")
THOUGHTS = (event(E.THOUGHT, text="Let me "), event(E.THOUGHT, text="see."))
SAID = OutputSegment("r", 0, ("Hello",))


def show(bodies: tuple[StoryBody, ...], *, thoughts: bool = False) -> None:
    """Tells the steps one by one, 500 ms after each other."""
    teller = Teller(thoughts)
    for seq, body in enumerate(bodies):
        teller.tell([StoryEntry(seq, 500 * seq, body)])


@pytest.fixture
def in_file(capsys: pytest.CaptureFixture[str]) -> Told:
    """The remarks, where they go into a file."""

    def told(*bodies: StoryBody, **options: Any) -> list[str]:
        show(bodies, **options)
        return capsys.readouterr().err.splitlines()

    return told


@pytest.fixture
def coloured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a terminal with 80 columns gets, output and remarks."""

    def told(*bodies: StoryBody, **options: Any) -> str:
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            patch.setattr("sys.stderr.isatty", lambda: True)
            # Both go to the same place, in the order in which they are written.
            patch.setattr("sys.stdout", sys.stderr)
            show(bodies, **options)
        return capsys.readouterr().err

    return told


@pytest.fixture
def on_terminal(coloured: Callable[..., str]) -> Told:
    """The lines of that, without their colours."""
    return lambda *bodies, **options: click.unstyle(coloured(*bodies, **options)).splitlines()


def test_a_tool_is_one_line_on_a_terminal(on_terminal: Told) -> None:
    assert on_terminal(ASKED, ANSWERED) == ["· Bash  ls -la · ok · 1.2k characters · 500ms"]


def test_a_tool_that_is_under_way_is_seen_at_once(on_terminal: Told) -> None:
    assert on_terminal(SAID, ASKED) == ["Hello", "· Bash  ls -la"]


def test_a_line_in_a_file_is_whole_at_once(in_file: Told) -> None:
    assert in_file(ASKED, ANSWERED) == ["· Bash  ls -la", "· Bash  ls -la · ok · 1.2k characters · 500ms"]


def test_what_was_decided_stands_on_the_call_s_line(on_terminal: Told) -> None:
    assert on_terminal(ASKED, DENIED, FAILED) == ["· Bash  ls -la · denied · error · 1.0s"]
    assert on_terminal(ASKED, ALLOWED, ANSWERED) == ["· Bash  ls -la · allowed · ok · 1.2k characters · 1.0s"]


def test_calls_at_the_same_time_end_on_lines_of_their_own(on_terminal: Told) -> None:
    other = {"tool": "Read", "tool_use_id": "2"}
    told = on_terminal(
        ASKED,
        event(E.TOOL_REQUESTED, **other, input="a.py"),
        ANSWERED,
        SAID,
        DENIED,
        event(E.TOOL_COMPLETED, **other),
    )
    assert told == [
        "· Bash  ls -la",
        "· Read  a.py",
        "· Bash  ls -la · ok · 1.2k characters · 1.0s",
        "Hello",
        "· Bash  ls · denied",
        "· Read  a.py · ok · 2.0s",
    ]


def test_who_comes_in_the_middle_sees_what_is_known(on_terminal: Told) -> None:
    assert on_terminal(ANSWERED) == ["· Bash · ok · 1.2k characters"]


def test_calls_without_an_id_are_known_by_their_tool(on_terminal: Told) -> None:
    assert on_terminal(event(E.TOOL_REQUESTED, tool="Bash"), event(E.TOOL_COMPLETED, tool="Bash")) == [
        "· Bash · ok · 500ms"
    ]


def test_a_long_input_leaves_room_for_the_ending(on_terminal: Told) -> None:
    [line] = on_terminal(event(E.TOOL_REQUESTED, tool="Bash", input="x" * 500), event(E.TOOL_COMPLETED, tool="Bash"))
    assert len(line) < 80
    assert "xxx… · ok" in line


def test_thoughts_are_only_mentioned(on_terminal: Told) -> None:
    assert on_terminal(*THOUGHTS, SAID, *THOUGHTS) == ["· thinking · 1.0s", "Hello", "· thinking"]


def test_thoughts_are_shown_to_who_asks(on_terminal: Told) -> None:
    assert on_terminal(*THOUGHTS, SAID, *THOUGHTS, ASKED, thoughts=True) == [
        "Let me see.",
        "Hello",
        "Let me see.",
        "· Bash  ls -la",
    ]


def test_thoughts_in_a_file(in_file: Told) -> None:
    assert in_file(*THOUGHTS, SAID, ASKED) == ["· thinking", "· Bash  ls -la"]
    assert in_file(*THOUGHTS, ASKED, event(E.THOUGHT, text="Aha.\n"), thoughts=True) == [
        "Let me see.",
        "· Bash  ls -la",
        "Aha.",
    ]


def test_of_a_plan_that_changes_only_what_is_new_is_shown(on_terminal: Told) -> None:
    first, second = "[x] look\n[ ] mend\n[ ] test", "[x] look\n[x] mend\n[ ] test"
    assert on_terminal(event(E.PLAN, plan=first), event(E.PLAN, plan=second), event(E.PLAN, plan=second)) == [
        "· plan · 1 of 3 done",
        "    [x] look",
        "    [ ] mend",
        "    [ ] test",
        "· plan · 2 of 3 done",
        "    [x] mend",
    ]


def test_retries_and_what_matters_of_the_log_are_shown(in_file: Told) -> None:
    assert in_file(
        event(E.RETRY, error="overloaded", attempt=1, delay_ms=2000),
        event(E.RETRY, error="overloaded"),
        event(E.LOG, text="all well", severity="info"),
        event(E.LOG, text="80 % full", severity="warning"),
        event(E.LOG, text="it broke\nhere", severity="error"),
        event(E.LOG, severity="error"),
    ) == [
        "· the model did not answer: overloaded; again in 2.0s",
        "· the model did not answer: overloaded; trying again",
        "· warning: 80 % full",
        "· error: it broke",
        "    here",
        "· error: ",
    ]


def test_what_is_told_elsewhere_is_not_told_twice(in_file: Told) -> None:
    silent = (E.EXECUTION_STARTED, E.USAGE, E.OUTPUT_GENERATED, E.EXECUTION_COMPLETED, E.EXECUTION_FAILED)
    assert in_file(*(event(type, text="x") for type in silent)) == []


def test_events_of_a_later_version_are_mentioned_once(in_file: Told) -> None:
    later = [RunEvent("r", E.UNKNOWN, {"text": "x"}, number=number) for number in (106, 106, 0)]
    assert in_file(*later) == [
        "· events of a kind that this taskrun does not know (106)",
        "· events of a kind that this taskrun does not know",
    ]


@pytest.mark.parametrize("type", RunEventType)
def test_an_event_may_say_nothing_and_nonsense(in_file: Told, type: RunEventType) -> None:
    nonsense = dict.fromkeys(("tool", "input", "decision", "outcome", "text", "plan", "error"), "\x1b[2J")
    numbers = {"result_size": "-1e9", "delay_ms": "9" * 5000, "tool_use_id": "\n", "severity": "error"}
    assert "\x1b" not in "".join(in_file(event(type), event(type, **nonsense, **numbers)))


def test_a_denied_call_is_yellow_and_a_failed_one_red(coloured: Callable[..., str]) -> None:
    shown = coloured(ASKED, DENIED, FAILED)
    assert click.style("denied", fg="yellow") in shown
    assert click.style("error", fg="red") in shown


def test_the_end_of_a_task_ends_an_open_line(on_terminal: Told) -> None:
    assert on_terminal(ASKED, TaskChange(TaskStatus.CANCELLED)) == ["· Bash  ls -la", "· CANCELLED"]
