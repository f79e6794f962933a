"""Tasks between the wire and the domain."""

from __future__ import annotations

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import decode_backend, decode_map, decode_usage, encode_backend, encode_usage
from taskrun.domain.limits import checked_query, checked_spec
from taskrun.domain.records import Continuation, Run, Task, TaskPage, TaskQuery, TaskSpec
from taskrun.v1 import task_service_pb2 as pb

DEFAULT_MAX_ATTEMPTS = 3


def encode_spec(spec: TaskSpec) -> pb.CreateTaskRequest:
    """What is asked for."""
    return pb.CreateTaskRequest(
        agent_name=spec.agent,
        input_json=spec.input_json,
        labels=spec.labels,
        timeout_ms=spec.timeout_ms,
        priority=spec.priority,
        max_attempts=spec.max_attempts,
        worker_selector=dict(spec.selector),
        idempotency_key=spec.idempotency_key,
        retry_on=[words.FAILURE_KIND_NUMBERS[kind] for kind in spec.retry_on],
        silence_timeout_ms=spec.silence_timeout_ms,
        queue_timeout_ms=spec.queue_timeout_ms,
    )


def decode_spec(message: pb.CreateTaskRequest) -> TaskSpec:
    """What is asked for, checked. Raises `InvalidArgument`. Who asks is not in here: the certificate says that."""
    selector, retry_on = message.worker_selector, message.retry_on
    return checked_spec(
        TaskSpec(
            message.agent_name,
            message.input_json,
            decode_map(message.labels),
            message.timeout_ms,
            message.priority,
            message.max_attempts or DEFAULT_MAX_ATTEMPTS,
            frozenset([words.FAILURE_KINDS[kind] for kind in retry_on]) if retry_on else frozenset(),
            tuple(selector.items()) if selector else (),
            message.idempotency_key,
            message.silence_timeout_ms,
            message.queue_timeout_ms,
        )
    )


def encode_task(task: Task) -> pb.Task:
    """A task with its runs."""
    spec = task.spec
    return pb.Task(
        id=task.id,
        agent_name=spec.agent,
        input_json=spec.input_json,
        status=words.TASK_STATUS_NUMBERS[task.status],
        created_by=task.created_by,
        created_at_ms=task.created_at_ms,
        labels=spec.labels or None,
        runs=[encode_run(run) for run in task.runs],
        priority=spec.priority,
        timeout_ms=spec.timeout_ms,
        max_attempts=spec.max_attempts,
        worker_selector=dict(spec.selector) if spec.selector else None,
        retry_on=[words.FAILURE_KIND_NUMBERS[kind] for kind in spec.retry_on] if spec.retry_on else None,
        cancel_requested=task.cancel_requested,
        finished_at_ms=task.finished_at_ms,
        next_seq=task.next_seq,
        silence_timeout_ms=spec.silence_timeout_ms,
        queue_timeout_ms=spec.queue_timeout_ms,
        expires_at_ms=task.expires_at_ms,
        failure_kind=words.FAILURE_KIND_NUMBERS[task.failure],
        error_message=task.error,
        continues=spec.continues.task_id if spec.continues else "",
        continued_session_id=spec.continues.session_id if spec.continues else "",
        fork=spec.continues is not None and spec.continues.fork,
    )


def decode_task(message: pb.Task) -> Task:
    """A task with its runs. Its spec has no idempotency key: that is not sent back."""
    spec = TaskSpec(
        message.agent_name,
        message.input_json,
        decode_map(message.labels),
        message.timeout_ms,
        message.priority,
        message.max_attempts,
        frozenset(words.FAILURE_KINDS[kind] for kind in message.retry_on),
        tuple(sorted(message.worker_selector.items())),
        silence_timeout_ms=message.silence_timeout_ms,
        queue_timeout_ms=message.queue_timeout_ms,
        continues=_decode_continuation(message),
    )
    return Task(
        message.id,
        spec,
        words.TASK_STATUSES[message.status],
        message.created_by,
        message.created_at_ms,
        tuple(decode_run(run) for run in message.runs),
        message.cancel_requested,
        message.finished_at_ms,
        message.next_seq,
        message.expires_at_ms,
        words.OPTIONAL_FAILURE_KINDS[message.failure_kind],
        message.error_message,
    )


def _decode_continuation(message: pb.Task) -> Continuation | None:
    if not message.continues:
        return None
    return Continuation(message.continues, message.continued_session_id, message.fork)


def encode_run(run: Run) -> pb.RunSummary:
    """One attempt."""
    return pb.RunSummary(
        run_id=run.id,
        worker_id=run.worker_id,
        status=words.RUN_STATUS_NUMBERS[run.status],
        started_at_ms=run.started_at_ms,
        finished_at_ms=run.finished_at_ms,
        backend_used=encode_backend(run.backend) if run.backend else None,
        error_message=run.error,
        attempt=run.attempt,
        failure_kind=words.FAILURE_KIND_NUMBERS[run.failure],
        usage=encode_usage(run.usage) if run.usage else None,
        session_id=run.session_id,
        assigned_at_ms=run.assigned_at_ms,
    )


def decode_run(message: pb.RunSummary) -> Run:
    """One attempt."""
    return Run(
        message.run_id,
        message.worker_id,
        words.RUN_STATUSES[message.status],
        message.attempt,
        message.assigned_at_ms,
        message.started_at_ms,
        message.finished_at_ms,
        decode_backend(message.backend_used) if message.HasField("backend_used") else None,
        message.error_message,
        words.OPTIONAL_FAILURE_KINDS[message.failure_kind],
        decode_usage(message.usage) if message.HasField("usage") else None,
        message.session_id,
    )


def encode_query(query: TaskQuery) -> pb.ListTasksRequest:
    """Which tasks to list."""
    return pb.ListTasksRequest(
        status_filter=words.TASK_STATUS_NUMBERS[query.status],
        agent_filter=query.agent,
        limit=query.limit,
        page_token=query.page_token,
        labels=query.labels,
    )


def decode_query(message: pb.ListTasksRequest) -> TaskQuery:
    """Which tasks to list, checked. Raises `InvalidArgument`."""
    return checked_query(
        TaskQuery(
            words.OPTIONAL_TASK_STATUSES[message.status_filter],
            message.agent_filter,
            decode_map(message.labels),
            message.limit,
            message.page_token,
        )
    )


def decode_page(message: pb.ListTasksResponse) -> TaskPage:
    """One page of tasks."""
    return TaskPage(tuple(decode_task(task) for task in message.tasks), message.next_page_token)
