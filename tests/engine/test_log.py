"""What happened, as log lines: never a line at INFO for a task or a run, and ids bound to every line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from loguru import logger

from taskrun.domain.events import (
    DomainEvent,
    MessageRefused,
    RunAssigned,
    RunEnded,
    SlotsChanged,
    TaskExpired,
    TaskMoved,
    TaskRefused,
    TaskRequeued,
    WorkerConnected,
    WorkerMoved,
)
from taskrun.domain.quotas import AccountName
from taskrun.domain.records import Requirement, Task, TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.engine.log import log_events

TASK = Task("t1", TaskSpec("echo", '"the secret input"'), TaskStatus.PENDING, "client:me", 0)
RUN = {"task_id": "t1", "run_id": "r1", "worker_id": "w1"}

Line = tuple[str, str, dict[str, object]]


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    lines: list[Line] = []
    logger.enable("taskrun")
    sink = logger.add(
        lambda message: lines.append(
            (message.record["level"].name, message.record["message"], dict(message.record["extra"]))
        ),
        level="DEBUG",
        format="{message}",
    )
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (WorkerConnected("w1", again=False), ("INFO", "worker connected", {"worker_id": "w1"})),
        (WorkerConnected("w1", again=True), ("INFO", "worker connected again", {"worker_id": "w1"})),
        (WorkerMoved("w1", WorkerStatus.LOST, None), ("INFO", "worker gone", {"worker_id": "w1"})),
        (
            WorkerMoved("w1", WorkerStatus.IDLE, WorkerStatus.BUSY),
            ("DEBUG", "worker is BUSY", {"worker_id": "w1"}),
        ),
        (TaskMoved(TASK, None, TaskStatus.PENDING), ("DEBUG", "task is PENDING", {"task_id": "t1"})),
        (
            TaskRequeued(TASK, FailureKind.WORKER_LOST),
            ("DEBUG", "task waits again after worker_lost", {"task_id": "t1"}),
        ),
        (
            TaskExpired(replace(TASK, error="nobody came"), 5),
            ("DEBUG", "task waited for too long: nobody came", {"task_id": "t1"}),
        ),
        (
            TaskRefused(AccountName("client", "ann"), "waiting"),
            ("DEBUG", "task refused: the limit waiting of the client ann", {}),
        ),
        (RunAssigned("t1", "r1", "w1", Requirement("echo"), 5), ("DEBUG", "run assigned", RUN)),
        (
            RunEnded("t1", "r1", "w1", "echo", RunStatus.COMPLETED, None, 5),
            ("DEBUG", "run is COMPLETED", RUN),
        ),
        (
            MessageRefused("w1", "r1", "output"),
            ("DEBUG", "message refused: output", {"run_id": "r1", "worker_id": "w1"}),
        ),
    ],
)
def test_an_event_is_one_line_with_its_ids(lines: list[Line], event: DomainEvent, line: Line) -> None:
    log_events([event])
    assert lines == [line]


@pytest.mark.parametrize("event", [WorkerMoved("w1", None, WorkerStatus.IDLE), SlotsChanged(1, 2)])
def test_what_another_line_says_already_or_only_metrics_need_is_not_logged(
    lines: list[Line], event: DomainEvent
) -> None:
    log_events([event])
    assert lines == []
