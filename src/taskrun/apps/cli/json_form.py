"""Records as JSON, in the wire's field names. Times are Unix milliseconds; 0 has not happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.explanation import Explanation
from taskrun.domain.history import Said
from taskrun.domain.records import (
    OutputSegment,
    Run,
    RunEvent,
    RunMessage,
    StoryEntry,
    Task,
    TaskChange,
    Usage,
    WorkerView,
)
from taskrun.domain.status import RunEventType
from taskrun.domain.usage import total

Form = dict[str, Any]


def task_form(task: Task) -> Form:
    """A task with its runs, and what they consumed together."""
    spec = task.spec
    return {
        "id": task.id,
        "agent_name": spec.agent,
        "input_json": spec.input_json,
        "status": task.status.value,
        "created_by": task.created_by,
        "created_at_ms": task.created_at_ms,
        "finished_at_ms": task.finished_at_ms,
        "cancel_requested": task.cancel_requested,
        "labels": dict(spec.labels),
        "priority": spec.priority,
        "timeout_ms": spec.timeout_ms,
        "silence_timeout_ms": spec.silence_timeout_ms,
        "queue_timeout_ms": spec.queue_timeout_ms,
        "expires_at_ms": task.expires_at_ms,
        "max_attempts": spec.max_attempts,
        "retry_on": sorted(kind.value for kind in spec.retry_on),
        "worker_selector": dict(spec.selector),
        "continues": spec.continues.task_id if spec.continues else "",
        "continued_session_id": spec.continues.session_id if spec.continues else "",
        "fork": spec.continues is not None and spec.continues.fork,
        "next_seq": task.next_seq,
        "failure_kind": task.failure.value if task.failure else None,
        "error_message": task.error,
        "usage": _usage(total(task.runs)),
        "runs": [run_form(run) for run in task.runs],
    }


def run_form(run: Run) -> Form:
    """One attempt at a task."""
    return {
        "run_id": run.id,
        "worker_id": run.worker_id,
        "status": run.status.value,
        "attempt": run.attempt,
        "assigned_at_ms": run.assigned_at_ms,
        "started_at_ms": run.started_at_ms,
        "finished_at_ms": run.finished_at_ms,
        "failure_kind": run.failure.value if run.failure else None,
        "error_message": run.error,
        "backend_used": asdict(run.backend) if run.backend else None,
        "usage": _usage(run.usage),
        "session_id": run.session_id,
    }


def _usage(usage: Usage | None) -> Form | None:
    return asdict(usage) if usage else None


def said_form(said: Said) -> Form:
    """One message of a conversation."""
    return {
        "task_id": said.task_id,
        "run_id": said.run_id,
        "role": said.role.value,
        "content": said.content,
        "timestamp_ms": said.at_ms,
    }


def worker_form(worker: WorkerView) -> Form:
    """A connected worker."""
    return {
        "worker_id": worker.id,
        "hostname": worker.info.hostname,
        "version": worker.info.version,
        "status": worker.status.value,
        "agents": [asdict(agent) for agent in worker.info.agents],
        "labels": dict(worker.info.labels),
        "active_runs": worker.active_runs,
        "max_concurrent_runs": worker.max_concurrent_runs,
        "last_heartbeat_ms": worker.last_heartbeat_ms,
    }


def explanation_form(told: Explanation) -> Form:
    """Why a task waits; the values are named as in the wire already."""
    return asdict(told) | {"status": told.status.value}


def certificate_form(certificate: Certificate, now_ms: int) -> Form:
    """A certificate, and what it is worth at that moment."""
    return {
        "serial": certificate.serial,
        "owner": certificate.owner,
        "state": certificate.state(now_ms).value,
        "issued_at_ms": certificate.issued_at_ms,
        "not_after_ms": certificate.not_after_ms,
        "revoked_at_ms": certificate.revoked_at_ms,
    }


def entry_form(entry: StoryEntry) -> Form:
    """One step of a task's story; what kind of step it is, is the last key."""
    name, form = _STEPS[type(entry.body)]
    return {"seq": entry.seq, "timestamp_ms": entry.at_ms, "next_seq": entry.next_seq, name: form(entry.body)}


def _change(body: TaskChange) -> Form:
    run = run_form(body.run) if body.run else None
    return {
        "status": body.status.value,
        "cancel_requested": body.cancel_requested,
        "run": run,
        "failure_kind": body.failure.value if body.failure else None,
        "error_message": body.error,
    }


def _output(body: OutputSegment) -> Form:
    return {
        "run_id": body.run_id,
        "first_seq": body.first_seq,
        "content": "".join(body.contents),
        "truncated": body.truncated,
        "metadata": dict(body.metadata),
    }


def _event(body: RunEvent) -> Form:
    number = {"event_number": body.number} if body.type is RunEventType.UNKNOWN else {}
    return {"run_id": body.run_id, "event_type": body.type.value, **number, "metadata": dict(body.metadata)}


def _message(body: RunMessage) -> Form:
    return {"run_id": body.run_id, "role": body.role.value, "content": body.content}


_STEPS: dict[type, tuple[str, Callable[[Any], Form]]] = {
    TaskChange: ("change", _change),
    OutputSegment: ("output", _output),
    RunEvent: ("event", _event),
    RunMessage: ("message", _message),
}
