"""Workers between the wire and the domain."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import decode_agent, decode_map, encode_agent
from taskrun.domain.records import WorkerInfo, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.enrollment import BootstrapToken
from taskrun.v1 import common_pb2
from taskrun.v1 import worker_service_pb2 as pb


def encode_info(info: WorkerInfo, worker_id: str) -> common_pb2.WorkerInfo:
    """What a worker says of itself."""
    return common_pb2.WorkerInfo(
        worker_id=worker_id,
        hostname=info.hostname,
        version=info.version,
        agents=[encode_agent(agent) for agent in info.agents],
        labels=info.labels,
    )


def decode_info(message: common_pb2.WorkerInfo | pb.Worker) -> WorkerInfo:
    """What a worker says of itself."""
    return WorkerInfo(
        message.hostname,
        message.version,
        tuple(decode_agent(agent) for agent in message.agents),
        decode_map(message.labels),
    )


def encode_worker(view: WorkerView) -> pb.Worker:
    """A worker as it now stands."""
    info = view.info
    return pb.Worker(
        worker_id=view.id,
        hostname=info.hostname,
        version=info.version,
        status=words.WORKER_STATUS_NUMBERS[view.status],
        agents=[encode_agent(agent) for agent in info.agents],
        labels=info.labels,
        active_runs=view.active_runs,
        max_concurrent_runs=view.max_concurrent_runs,
        last_heartbeat_ms=view.last_heartbeat_ms,
        connected_at_ms=view.connected_at_ms,
    )


def decode_worker(message: pb.Worker) -> WorkerView:
    """A worker as it now stands."""
    return WorkerView(
        message.worker_id,
        decode_info(message),
        words.WORKER_STATUSES[message.status],
        message.active_runs,
        message.max_concurrent_runs,
        message.last_heartbeat_ms,
        message.connected_at_ms,
    )


def encode_worker_filter(agent: str, status: WorkerStatus | None) -> pb.ListWorkersRequest:
    """Which workers to list."""
    return pb.ListWorkersRequest(
        agent_name=agent or None, status=words.WORKER_STATUS_NUMBERS[status] if status else None
    )


def decode_worker_filter(message: pb.ListWorkersRequest) -> tuple[str, WorkerStatus | None]:
    """Which workers to list. A status that is given must be one: raises `InvalidArgument`."""
    return message.agent_name, words.WORKER_STATUSES[message.status] if message.HasField("status") else None


def encode_workers(views: Sequence[WorkerView]) -> pb.ListWorkersResponse:
    """The workers, in this order."""
    return pb.ListWorkersResponse(workers=[encode_worker(view) for view in views])


def decode_workers(message: pb.ListWorkersResponse) -> Sequence[WorkerView]:
    """The workers, in their order."""
    return tuple(decode_worker(worker) for worker in message.workers)


def encode_token(token: BootstrapToken) -> pb.CreateBootstrapTokenResponse:
    """A token just made."""
    return pb.CreateBootstrapTokenResponse(
        token=token.token, worker_id=token.worker_id, expires_at_ms=token.expires_at_ms
    )


def decode_token(message: pb.CreateBootstrapTokenResponse) -> BootstrapToken:
    """A token just made."""
    return BootstrapToken(message.token, message.worker_id, message.expires_at_ms)
