"""Serves `taskrun.v1.WorkerService`."""

from __future__ import annotations

from taskrun.adapters.grpc.access import Context, Handler
from taskrun.adapters.grpc.codec_workers import decode_worker_filter, encode_token, encode_worker, encode_workers
from taskrun.adapters.grpc.handlers import unary
from taskrun.ports.control_plane import WorkerApi
from taskrun.ports.enrollment import EnrollmentApi
from taskrun.v1 import worker_service_pb2 as pb


class WorkerService:
    """The methods that clients call about workers."""

    def __init__(self, workers: WorkerApi, enrollment: EnrollmentApi) -> None:
        self._workers, self._enrollment = workers, enrollment

    def handlers(self) -> dict[str, Handler]:
        """The service's methods by name."""
        return {
            "ListWorkers": unary(pb.ListWorkersRequest, self._list),
            "GetWorker": unary(pb.GetWorkerRequest, self._get),
            "CreateBootstrapToken": unary(pb.CreateBootstrapTokenRequest, self._create_token),
        }

    async def _list(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        return encode_workers(self._workers.workers(*decode_worker_filter(request)))

    async def _get(self, request: pb.GetWorkerRequest, context: Context) -> pb.Worker:
        return encode_worker(self._workers.worker(request.worker_id))

    async def _create_token(
        self, request: pb.CreateBootstrapTokenRequest, context: Context
    ) -> pb.CreateBootstrapTokenResponse:
        return encode_token(await self._enrollment.create_token(request.worker_id, request.ttl_ms))
