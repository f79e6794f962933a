"""A task and a story in which every field says something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from taskrun.domain.records import (
    Consumption,
    Continuation,
    ModelBackend,
    OutputSegment,
    Run,
    RunEvent,
    RunMessage,
    StoryEntry,
    Task,
    TaskChange,
    Usage,
)
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus
from taskrun.testing.contracts.store_cases import ON_GPU, RUNNING, make_task


def full_task() -> Task:
    """A task in which every field says something."""
    backend = ModelBackend("ollama", "llama", 8192, True, ("text",), ("search",), {"a": "b"})
    first = Run("run-1", "worker-1", RunStatus.FAILED, 1, 1, 2, 3, backend, "went \x00 wrong ü", FailureKind.TIMEOUT)
    usage = Usage(1, 2, 3, 4, 0.1, {"llama": Consumption(1, 1, cost_usd=0.05), "ü": Consumption(0, 1, 3, 4, 0.05)})
    second = Run("run-2", "w", RunStatus.RUNNING, 2, 4, 5, usage=usage, session_id="s", taken=("m-1", "m-2"))
    spec: dict[str, Any] = {"labels": {"team": "blau"}, "timeout_ms": 9, "retry_on": frozenset({FailureKind.TIMEOUT})}
    spec |= {"silence_timeout_ms": 8, "queue_timeout_ms": 7, "continues": Continuation("t-0", "s", True)}
    task = make_task(1, RUNNING, needs=ON_GPU, priority=3, idempotency_key="k", max_attempts=2**40, **spec)
    fields: dict[str, Any] = {"expires_at_ms": 18, "failure": FailureKind.QUEUE_TIMEOUT, "error": "too long"}
    return replace(task, runs=(first, second), cancel_requested=True, next_seq=17, **fields)


STORY = [
    StoryEntry(0, 1, TaskChange(TaskStatus.PENDING, failure=FailureKind.QUEUE_TIMEOUT, error="too long")),
    StoryEntry(1, 2, TaskChange(RUNNING, True, full_task().runs[0])),
    StoryEntry(2, 3, OutputSegment("run-1", 0, ("a\x00b", "ü\U0001f600", ""), {"stream": "stderr"})),
    StoryEntry(5, 4, OutputSegment("run-1", 3, (), truncated=True)),
    StoryEntry(6, 5, RunEvent("run-1", RunEventType.TOOL_REQUESTED, {"tool": "x"}, "event")),
    StoryEntry(7, 6, RunMessage("run-1", ChatRole.ASSISTANT, '"quoted"\n', id="m-1")),
]
