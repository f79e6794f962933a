"""Workers between the wire and the domain."""

from __future__ import annotations

from typing import NamedTuple

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import decode_agent, decode_map, encode_agent
from taskrun.domain.records import WorkerInfo, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.enrollment import BootstrapToken
from taskrun.v1 import common_pb2
from taskrun.v1 import worker_service_pb2 as pb


class WorkerQuery(NamedTuple):
    """Which workers to list, by id. Every filter that is given must match."""

    agent: str = ""
    #: None is every status that a connected worker has, and with `away` also that of those who may come back.
    status: WorkerStatus | None = None
    #: Of the previous page; "" starts at the first.
    page_token: str = ""
    #: 0 is as many as fit into an answer.
    limit: int = 0
    away: bool = False

    def after(self, page: WorkerPage) -> WorkerQuery | None:
        """What asks for the page after this one, if there is one."""
        return self._replace(page_token=page.next_page_token) if page.next_page_token else None


class WorkerPage(NamedTuple):
    """One page of workers. `next_page_token` is "" on the last."""

    workers: tuple[WorkerView, ...]
    next_page_token: str = ""


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


def encode_worker_query(query: WorkerQuery) -> pb.ListWorkersRequest:
    """Which workers to list."""
    return pb.ListWorkersRequest(
        agent_name=query.agent or None,
        status=words.WORKER_STATUS_NUMBERS[query.status] if query.status else None,
        page_token=query.page_token,
        limit=query.limit,
        away=query.away,
    )


def decode_worker_query(message: pb.ListWorkersRequest) -> WorkerQuery:
    """Which workers to list. A status that is given must be one: raises `InvalidArgument`."""
    return WorkerQuery(
        message.agent_name,
        words.WORKER_STATUSES[message.status] if message.HasField("status") else None,
        message.page_token,
        message.limit,
        message.away,
    )


def decode_worker_page(message: pb.ListWorkersResponse) -> WorkerPage:
    """One page of workers."""
    return WorkerPage(tuple(decode_worker(worker) for worker in message.workers), message.next_page_token)


def encode_token(token: BootstrapToken) -> pb.CreateBootstrapTokenResponse:
    """A token just made."""
    return pb.CreateBootstrapTokenResponse(
        token=token.token,
        worker_id=token.worker_id,
        expires_at_ms=token.expires_at_ms,
        enroll_url=token.enroll_url,
    )


def decode_token(message: pb.CreateBootstrapTokenResponse) -> BootstrapToken:
    """A token just made."""
    return BootstrapToken(message.token, message.worker_id, message.expires_at_ms, message.enroll_url)
