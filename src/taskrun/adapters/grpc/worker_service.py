"""Serves `taskrun.v1.WorkerService`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from loguru import logger

from taskrun.adapters.grpc.access import Context, Handler, caller
from taskrun.adapters.grpc.codec_workers import decode_worker_query, encode_token, encode_worker
from taskrun.adapters.grpc.handlers import unary
from taskrun.adapters.grpc.pages import fitting
from taskrun.domain.errors import NotFound
from taskrun.domain.status import WorkerStatus
from taskrun.ports.control_plane import WorkerApi
from taskrun.ports.enrollment import EnrollmentApi
from taskrun.v1 import worker_service_pb2 as pb

#: Their status has a number that old clients do not know: one sees them only if it asks by that number.
_AWAY = frozenset({WorkerStatus.DISCONNECTED, WorkerStatus.LOST})


class WorkerService:
    """The methods that clients call about workers."""

    def __init__(
        self, workers: WorkerApi, enrollment: EnrollmentApi, enroll_url: Callable[[], str] = lambda: ""
    ) -> None:
        """`enroll_url` says where a token can be exchanged."""
        self._workers, self._enrollment, self._enroll_url = workers, enrollment, enroll_url

    def handlers(self) -> dict[str, Handler]:
        """The service's methods by name."""
        return {
            "ListWorkers": unary(pb.ListWorkersRequest, self._list),
            "GetWorker": unary(pb.GetWorkerRequest, self._get),
            "CreateBootstrapToken": unary(pb.CreateBootstrapTokenRequest, self._create_token),
        }

    async def _list(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        query = decode_worker_query(request)
        views = [
            view
            for view in self._workers.workers(query.agent, query.status)
            if view.id > query.page_token and (query.status or query.away or view.status not in _AWAY)
        ]
        page = fitting(map(encode_worker, views[: query.limit or None]))
        return pb.ListWorkersResponse(
            workers=page, next_page_token=page[-1].worker_id if len(page) < len(views) else ""
        )

    async def _get(self, request: pb.GetWorkerRequest, context: Context) -> pb.Worker:
        view = self._workers.worker(request.worker_id)
        if view.status in _AWAY and not request.away:
            raise NotFound(f"The worker {view.id} is not connected.")
        return encode_worker(view)

    async def _create_token(
        self, request: pb.CreateBootstrapTokenRequest, context: Context
    ) -> pb.CreateBootstrapTokenResponse:
        made = await self._enrollment.create_token(request.worker_id, request.ttl_ms)
        logger.info("bootstrap token created", worker_id=made.worker_id, by=caller().owner)
        return encode_token(replace(made, enroll_url=self._enroll_url()))
