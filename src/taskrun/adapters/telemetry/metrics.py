"""What happened, as Prometheus metrics. Everything is counted as it happens; nothing is ever scanned to serve a scrape.

`record` is called for each committed batch and has about a microsecond an event, so every child that an event touches
is looked up in a plain dict: `labels()` would cost more than the counting itself.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from loguru import logger
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from taskrun.adapters.telemetry.few_labels import FewLabels
from taskrun.adapters.telemetry.queue_metrics import queue_metrics
from taskrun.adapters.telemetry.usage_metrics import UsageMetrics
from taskrun.domain.batch import Backlog
from taskrun.domain.errors import TaskRunError
from taskrun.domain.events import (
    CertificatesAged,
    DomainEvent,
    MessageRefused,
    RunAssigned,
    RunEnded,
    ServerCertificateShown,
    SlotsChanged,
    TaskExpired,
    TaskMoved,
    TaskRefused,
    TaskRequeued,
    TasksHeld,
    TasksRemoved,
    WorkerConnected,
    WorkerMoved,
)
from taskrun.domain.now import Now
from taskrun.domain.records import Requirement
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.version import __version__

#: A worker that is gone or away is not connected: these are the statuses that count.
CONNECTED = (WorkerStatus.IDLE, WorkerStatus.BUSY, WorkerStatus.DRAINING, WorkerStatus.ERROR)
#: Seconds. From "a slot was free" to "a night in the queue".
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
#: Seconds. From a no-op agent to one that works all day.
DURATION_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)

_MS = 0.001


class PrometheusTelemetry:
    """Implements `Telemetry`. One belongs to one control plane; its registry is its own unless one is given.

    `backlog` is asked once for each scrape; `now` tells the age of what waits.
    """

    def __init__(
        self,
        backlog: Callable[[], Awaitable[Mapping[Requirement, Backlog]]],
        now: Callable[[], Now],
        registry: CollectorRegistry | None = None,
    ) -> None:
        # A creation time beside every counter would double the series, and nothing reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._backlog = backlog
        self._now = now
        self._registry = registry = registry or CollectorRegistry()
        self._agents = FewLabels()
        ProcessCollector(registry=registry)
        Info("taskrun_build", "What runs here.", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )

        workers = Gauge("taskrun_workers_connected", "Connected workers.", ["status"], registry=registry)
        self._workers = {status: workers.labels(status.value.lower()) for status in CONNECTED}
        slots = Gauge("taskrun_worker_slots", "Run slots of the connected workers.", ["state"], registry=registry)
        self._slots_taken, self._slots_free = slots.labels("taken"), slots.labels("free")
        self._reconnects = Counter("taskrun_worker_reconnects", "Workers that came back.", registry=registry)
        self._stale = Counter("taskrun_stale_messages", "Worker messages that did not count.", registry=registry)

        self._aged = Gauge(
            "taskrun_worker_certificates_aged",
            "Connected workers whose certificate should long have been renewed.",
            registry=registry,
        )
        self._server_end = Gauge(
            "taskrun_server_certificate_end_timestamp_seconds",
            "When the certificate that the control plane shows ends.",
            registry=registry,
        )

        # A gauge in spite of its name, which those who came before us chose.
        tasks = Gauge(
            "taskrun_tasks_total",
            "Tasks, by where they are in their lives: what the store held when this control plane was started, and what"
            " it did itself since. With others on the same store that is not what the store holds.",
            ["status"],
            registry=registry,
        )
        self._tasks = {status: tasks.labels(status.value.lower()) for status in TaskStatus}
        self._requeues = Counter("taskrun_requeues", "Tasks that wait again after a run.", registry=registry)
        self._expired = Counter(
            "taskrun_tasks_expired", "Tasks that waited for a worker for longer than they may.", registry=registry
        )
        self._refused = Counter(
            "taskrun_tasks_refused", "New tasks that a limit forbade.", ["by", "limit"], registry=registry
        )
        self._held = Gauge("taskrun_tasks_held", "Waiting tasks that a limit holds.", ["by"], registry=registry)
        failures = Counter("taskrun_run_failures", "Runs that failed, by kind.", ["kind"], registry=registry)
        self._failures = {kind: failures.labels(kind.value) for kind in FailureKind}
        self._latency = Histogram(
            "taskrun_assignment_latency_seconds",
            "From the moment a task waits until a worker is given it.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._duration = Histogram(
            "taskrun_run_duration_seconds",
            "From the assignment of a run to its end.",
            ["agent", "outcome"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._durations: dict[tuple[str, RunStatus], Histogram] = {}
        self._usage = UsageMetrics(registry)

        self._handlers: dict[type, Callable[[Any], None]] = {
            TaskMoved: self._task_moved,
            TasksRemoved: self._tasks_removed,
            TaskRequeued: self._task_requeued,
            TaskExpired: self._task_expired,
            TaskRefused: self._task_refused,
            TasksHeld: self._tasks_held,
            RunAssigned: self._run_assigned,
            RunEnded: self._run_ended,
            WorkerMoved: self._worker_moved,
            WorkerConnected: self._worker_connected,
            SlotsChanged: self._slots_changed,
            MessageRefused: self._message_refused,
            CertificatesAged: self._certificates_aged,
            ServerCertificateShown: self._server_certificate_shown,
        }

    def seed(self, counts: Mapping[TaskStatus, int]) -> None:
        """Adds the tasks that the store held at the start (`Recovery.counts`). Call it once; when does not matter."""
        for status, count in counts.items():
            self._tasks[status].inc(count)

    def record(self, events: Sequence[DomainEvent]) -> None:
        """See `Telemetry.record`."""
        handlers = self._handlers
        for event in events:
            handlers[type(event)](event)

    async def render(self) -> bytes:
        """Everything in Prometheus' text format, made in a thread. Without the queue's metrics while the store is away.

        What is recorded meanwhile may or may not be in it.
        """
        families = chain(await self._queue(), self._registry.collect())
        return await asyncio.to_thread(generate_latest, _Scrape(families))

    async def _queue(self) -> Sequence[Metric]:
        try:
            backlog = await self._backlog()
        except TaskRunError as error:
            # The rest is what somebody needs just then.
            logger.warning("metrics go without the queue: {}", error)
            return ()
        # Only a run gives an agent its name for good: a task can wait for any name, also one that nobody offers.
        return queue_metrics(backlog, self._agents.lent(), self._now().utc_ms)

    # One for each event.

    def _task_moved(self, event: TaskMoved) -> None:
        if event.old is not None:
            self._tasks[event.old].dec()
        self._tasks[event.new].inc()

    def _tasks_removed(self, event: TasksRemoved) -> None:
        for status, count in event.counts.items():
            self._tasks[status].dec(count)

    def _task_requeued(self, event: TaskRequeued) -> None:
        self._requeues.inc()

    def _task_expired(self, event: TaskExpired) -> None:
        self._expired.inc()

    def _task_refused(self, event: TaskRefused) -> None:
        # By key: the values may be many.
        self._refused.labels(event.account.key, event.figure).inc()

    def _tasks_held(self, event: TasksHeld) -> None:
        for key, count in event.by.items():
            self._held.labels(key).set(count)

    def _run_assigned(self, event: RunAssigned) -> None:
        self._agents.label(event.requirement.agent)
        self._latency.observe(event.waited_ms * _MS)

    def _run_ended(self, event: RunEnded) -> None:
        key = (self._agents.label(event.agent), event.status)
        histogram = self._durations.get(key)
        if histogram is None:
            histogram = self._durations[key] = self._duration.labels(key[0], event.status.value.lower())
        histogram.observe(event.duration_ms * _MS)
        if event.failure is not None:
            self._failures[event.failure].inc()
        self._usage.count(event.consumed)

    def _worker_moved(self, event: WorkerMoved) -> None:
        if event.old in self._workers:
            self._workers[event.old].dec()
        if event.new in self._workers:
            self._workers[event.new].inc()

    def _worker_connected(self, event: WorkerConnected) -> None:
        if event.again:
            self._reconnects.inc()

    def _slots_changed(self, event: SlotsChanged) -> None:
        self._slots_taken.set(event.taken)
        self._slots_free.set(event.free)

    def _certificates_aged(self, event: CertificatesAged) -> None:
        self._aged.set(event.count)

    def _server_certificate_shown(self, event: ServerCertificateShown) -> None:
        self._server_end.set(event.not_after_ms * _MS)

    def _message_refused(self, event: MessageRefused) -> None:
        self._stale.inc()


class _Scrape(Collector):
    """The families of one scrape, in the form that `generate_latest` takes."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
