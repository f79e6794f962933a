"""The CLI's own files are read as they are found: an agent may have written anything into them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.codex.record import model_used


def turn(model: Any, type: str = "turn_context") -> str:
    return json.dumps({"type": type, "payload": {"model": model}})


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "sessions" / "2027" / "rollout-1.jsonl"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("lines", "model"),
    [
        ([], ""),
        ([turn("a"), turn("b")], "b"),
        ([turn("a"), turn("b", type="event_msg")], "a"),
        ([turn("a"), turn(7), turn(None), '"turn_context"', "turn_context", "[" * 100_000 + "turn_context"], "a"),
        ([turn("a"), "x" * (3 << 20), turn("b")], "b"),
    ],
    ids=["nothing", "two turns", "something else", "what is none", "a long line"],
)
def test_the_model_of_the_last_turn_counts(tmp_path: Path, story: Path, lines: list[str], model: str) -> None:
    story.write_text("\n".join(lines))
    assert model_used(tmp_path) == model


def test_of_two_stories_the_newer_one_counts(tmp_path: Path, story: Path) -> None:
    story.write_text(turn("new"))
    old = story.with_name("rollout-2.jsonl")
    old.write_text(turn("old"))
    os.utime(old, (0, 0))
    assert model_used(tmp_path) == "new"


def test_what_is_no_file_is_left_alone(tmp_path: Path, story: Path) -> None:
    os.mkfifo(story)
    (tmp_path / "elsewhere").write_text(turn("a"))
    story.with_name("rollout-2.jsonl").symlink_to(tmp_path / "elsewhere")
    assert model_used(tmp_path) == ""
