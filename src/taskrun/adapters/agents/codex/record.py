"""What a session's home has on record and the CLI does not say: what earlier runs used, and which model it asks."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from taskrun.adapters.agents.loose import mapping, text
from taskrun.domain.records import Usage
from taskrun.domain.usage import since

#: What the session had used up when its last run ended; ours.
_USAGE = "taskrun-usage.json"

#: Where the CLI keeps the session's story, and what it notes there of each turn.
_STORIES = "sessions/**/rollout-*.jsonl"
_TURN = "turn_context"

#: Characters of a line that are read at once: an agent that may write here may write anything.
_LINE = 1 << 20


def used_since(home: Path, total: Usage) -> Usage:
    """What this run has used: Codex tells what its session has, in `total`, and here is noted what it told before."""
    before = _noted(home / _USAGE)
    (home / _USAGE).write_bytes(msgspec.json.encode(total))
    return since(before, total)


def model_used(home: Path) -> str:
    """The model of the last turn, which the CLI writes down but does not say; "" if it is not to be found."""
    try:
        stories = (path for path in home.glob(_STORIES) if path.is_file() and not path.is_symlink())
        newest = max(stories, key=lambda path: path.stat().st_mtime_ns, default=None)
        return _last_model(newest) if newest else ""
    except OSError:
        return ""


def _last_model(story: Path) -> str:
    model = ""
    with story.open(errors="replace") as lines:
        while line := lines.readline(_LINE):
            model = _model_in(line) or model
    return model


def _model_in(line: str) -> str:
    if _TURN not in line:
        return ""
    try:
        entry = mapping(json.loads(line))
    except (ValueError, RecursionError):
        return ""
    return text(mapping(entry.get("payload")).get("model")) if entry.get("type") == _TURN else ""


def _noted(file: Path) -> Usage:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Usage)
    except (OSError, msgspec.DecodeError):
        return Usage()
