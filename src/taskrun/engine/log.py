"""What happened, as log lines: workers at INFO, everything about a single task or run at DEBUG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger

from taskrun.domain.events import (
    DomainEvent,
    MessageRefused,
    RunAssigned,
    RunEnded,
    TaskExpired,
    TaskMoved,
    TaskRefused,
    TaskRequeued,
    TasksRemoved,
    WorkerConnected,
    WorkerMoved,
)


def log_events(events: Sequence[DomainEvent]) -> None:
    """One line for each event that is worth one."""
    for event in events:
        write = _LINES.get(type(event))
        if write is not None:
            write(event)


def _connected(event: WorkerConnected) -> None:
    logger.info("worker connected{}", " again" if event.again else "", worker_id=event.worker_id)


def _worker_moved(event: WorkerMoved) -> None:
    if event.new is None:
        logger.info("worker gone", worker_id=event.worker_id)
    elif event.old is not None:
        logger.debug("worker is {}", event.new.value, worker_id=event.worker_id)


def _task_moved(event: TaskMoved) -> None:
    logger.debug("task is {}", event.new.value, task_id=event.task.id)


def _removed(event: TasksRemoved) -> None:
    logger.debug("{} finished tasks are removed", sum(event.counts.values()))


def _requeued(event: TaskRequeued) -> None:
    logger.debug("task waits again after {}", event.failure.value, task_id=event.task.id)


def _expired(event: TaskExpired) -> None:
    logger.debug("task waited for too long: {}", event.task.error, task_id=event.task.id)


def _task_refused(event: TaskRefused) -> None:
    logger.debug("task refused: the limit {} of the {}", event.figure, event.account)


def _assigned(event: RunAssigned) -> None:
    logger.debug("run assigned", task_id=event.task_id, run_id=event.run_id, worker_id=event.worker_id)


def _ended(event: RunEnded) -> None:
    logger.debug("run is {}", event.status.value, task_id=event.task_id, run_id=event.run_id, worker_id=event.worker_id)


def _refused(event: MessageRefused) -> None:
    logger.debug("message refused: {}", event.what, run_id=event.run_id, worker_id=event.worker_id)


_LINES: dict[type, Callable[[Any], None]] = {
    WorkerConnected: _connected,
    WorkerMoved: _worker_moved,
    TaskMoved: _task_moved,
    TasksRemoved: _removed,
    TaskRequeued: _requeued,
    TaskExpired: _expired,
    TaskRefused: _task_refused,
    RunAssigned: _assigned,
    RunEnded: _ended,
    MessageRefused: _refused,
}
