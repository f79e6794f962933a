"""Why a task waits, between the wire and the domain."""

from __future__ import annotations

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.pages import fitting
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit
from taskrun.v1 import task_service_pb2 as pb


def encode_explanation(explanation: Explanation) -> pb.TaskExplanation:
    """Of the workers as many as fit into a message, the nearest first: labels may be long."""
    return pb.TaskExplanation(
        task_id=explanation.task_id,
        status=words.TASK_STATUS_NUMBERS[explanation.status],
        summary=explanation.summary,
        waits_since_ms=explanation.waits_since_ms,
        ahead=_encode_ahead(explanation.ahead) if explanation.ahead else None,
        rests_until_ms=explanation.rests_until_ms,
        workers=fitting(map(_encode_fit, explanation.workers)),
        workers_looked_at=explanation.workers_looked_at,
    )


def decode_explanation(message: pb.TaskExplanation) -> Explanation:
    """Why a task waits."""
    return Explanation(
        message.task_id,
        words.TASK_STATUSES[message.status],
        message.summary,
        message.waits_since_ms,
        Ahead(message.ahead.tasks, message.ahead.or_more) if message.HasField("ahead") else None,
        message.rests_until_ms,
        tuple(WorkerFit(worker.worker_id, tuple(worker.lacks), worker.fits) for worker in message.workers),
        message.workers_looked_at,
    )


def _encode_ahead(ahead: Ahead) -> pb.Ahead:
    return pb.Ahead(tasks=ahead.tasks, or_more=ahead.or_more)


def _encode_fit(fit: WorkerFit) -> pb.WorkerFit:
    return pb.WorkerFit(worker_id=fit.worker_id, lacks=fit.lacks, fits=fit.fits)
