"""`GET /v1/workers`: the connected workers as JSON, in the wire's field names."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.now import Now
from taskrun.domain.records import WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.control_plane import WorkerApi

_FILTERS = frozenset({"agent", "status"})


class WorkersRoute:
    """Its `get` is the route."""

    def __init__(self, workers: WorkerApi, now: Callable[[], Now]) -> None:
        self._workers = workers
        self._now = now

    async def get(self, request: Request) -> Response:
        """`?agent=NAME` and `?status=IDLE` narrow it down. Raises `InvalidArgument` for any other filter."""
        query = request.query_params
        if not _FILTERS.issuperset(query):
            raise InvalidArgument("Workers can be filtered by agent and status only.")
        views = self._workers.workers(query.get("agent", ""), _status(query.get("status", "")))
        now_ms = self._now().utc_ms
        body = msgspec.json.encode({"workers": [worker_fields(view, now_ms) for view in views]})
        return Response(body, media_type="application/json")


def worker_fields(view: WorkerView, now_ms: int) -> dict[str, object]:
    """One worker. Times are Unix milliseconds; `heartbeat_age_ms` is null before the first heartbeat."""
    return {
        "worker_id": view.id,
        "hostname": view.info.hostname,
        "version": view.info.version,
        "status": view.status.value,
        "agents": view.info.agents,
        "labels": view.info.labels,
        "active_runs": view.active_runs,
        "max_concurrent_runs": view.max_concurrent_runs,
        "connected_at_ms": view.connected_at_ms,
        "last_heartbeat_ms": view.last_heartbeat_ms,
        "heartbeat_age_ms": heartbeat_age_ms(view, now_ms),
    }


def heartbeat_age_ms(view: WorkerView, now_ms: int) -> int | None:
    """How long ago the last heartbeat came, by this machine's clock; None if none has come yet."""
    return max(0, now_ms - view.last_heartbeat_ms) if view.last_heartbeat_ms else None


def _status(word: str) -> WorkerStatus | None:
    try:
        return WorkerStatus(word) if word else None
    except ValueError:
        raise InvalidArgument("There is no such worker status.") from None
