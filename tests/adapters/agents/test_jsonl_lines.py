"""Each type of line, and lines that are none. docs/agents-jsonl.md has them all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskrun.adapters.agents.jsonl_lines import TYPES, Result, Text, UnknownType, Unreadable, event_of, read
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    AgentEvent,
    Logged,
    Permission,
    PermissionAsked,
    PlanMade,
    Retried,
    SessionInitialized,
    Severity,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)

PAGE = (Path(__file__).parents[3] / "docs/agents-jsonl.md").read_text()
STEPS = [{"text": "look", "done": True}, {"text": "say"}]
TOKENS = {"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4, "cost_usd": 0.5}


def line(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, **fields})


@pytest.mark.parametrize(
    ("said", "event"),
    [
        (line("session", id="s", model="m", version="1"), SessionInitialized("s", "m", "1")),
        (line("session"), SessionInitialized()),
        (line("thought", text="hm"), Thought("hm")),
        (line("plan", steps=STEPS), PlanMade("[x] look\n[ ] say")),
        (line("tool_requested", tool="sh", id="1", input="ls"), ToolRequested("sh", "1", "ls")),
        (line("tool_completed", tool="sh", id="1", result_size=7), ToolCompleted("sh", "1", "ok", 7)),
        (line("tool_completed", tool="sh", failed=True), ToolCompleted("sh", "", "error")),
        (line("permission", tool="sh", allowed=False), PermissionAsked("sh", Permission.DENIED)),
        (line("permission", tool="sh", allowed=True, input="ls"), PermissionAsked("sh", Permission.ALLOWED, "", "ls")),
        (line("usage", model="m", **TOKENS), UsageReported("m", 1, 2, 3, 4, 0.5)),
        (line("retry", error="529", attempt=2, delay_ms=100), Retried("529", 2, 100)),
        (line("log", text="odd", severity="warning"), Logged("odd", Severity.WARNING)),
        (line("text", text="hi"), None),
        (line("result"), None),
    ],
)
def test_a_line_is_an_event_or_more(said: str, event: AgentEvent | None) -> None:
    assert event_of(read(said)) == event


def test_what_a_line_has_beyond_its_fields_is_ignored() -> None:
    assert read(line("text", text="hi", mood="good")) == Text("hi")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, None),
        ({"text": "42"}, None),
        ({"failure": "refused"}, FailureKind.REFUSED),
        ({"failure": "limit_reached", "error": "no more"}, FailureKind.LIMIT_REACHED),
        ({"error": "it broke"}, FailureKind.AGENT_ERROR),
        ({"failure": "sunspots"}, FailureKind.AGENT_ERROR),
        # Whether a run was cancelled or its worker lost is not for its program to say.
        ({"failure": "cancelled"}, FailureKind.AGENT_ERROR),
        ({"failure": "worker_lost"}, FailureKind.AGENT_ERROR),
    ],
)
def test_a_result_is_a_success_only_if_nothing_in_it_says_otherwise(
    fields: dict[str, str], kind: FailureKind | None
) -> None:
    result = read(line("result", **fields))
    assert isinstance(result, Result)
    assert result.kind() is kind


@pytest.mark.parametrize(
    "said",
    [
        "Loading model ...",
        "[]",
        "{}",
        '{"type": 1}',
        line("text"),
        line("text", text=1),
        line("text", text=None),
        line("usage", input_tokens=-1),
        line("usage", input_tokens=2**60),
        line("usage", cost_usd="much"),
        line("log", text="x", severity="fatal"),
        line("plan", steps="look"),
        '{"type": "text", "text": "half',
        '{"type": "text", "text": "\\ud800 alone"}',
        '{"type": "text", "text": NaN}',
        "[" * 100_000,
    ],
)
def test_a_line_that_says_nothing_is_unreadable(said: str) -> None:
    with pytest.raises(Unreadable):
        read(said)


def test_a_type_that_there_is_not_is_told_from_a_line_that_says_nothing() -> None:
    with pytest.raises(UnknownType, match="telepathy"):
        read(line("telepathy", text="hi"))


def test_the_page_has_every_type_with_its_fields() -> None:
    table = PAGE.partition("| --- | --- | --- |\n")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| ", table, re.MULTILINE))
    # What stands behind a colon are the words that a field may be.
    told = {name: set(re.findall(r"`(\w+)`", re.sub(r":.*", "", fields))) for name, fields in rows.items()}
    needed = {name: set(re.findall(r"\*\*`(\w+)`", re.sub(r":.*", "", fields))) for name, fields in rows.items()}
    fields = {name: msgspec.structs.fields(what) for name, what in TYPES.items()}
    assert told == {name: {field.name for field in those} for name, those in fields.items()}
    assert needed == {name: {field.name for field in those if field.required} for name, those in fields.items()}
