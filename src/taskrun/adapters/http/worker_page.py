"""`GET /ui/workers`: the connected workers for people. What stands there is decided here, how it looks in `ui/`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from taskrun.adapters.http.worker_json import heartbeat_age_ms
from taskrun.domain.now import Now
from taskrun.domain.records import AgentSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.control_plane import WorkerApi
from taskrun.version import __version__

#: Two heartbeats of 15 s are missing.
LATE_MS = 32_000
#: Beyond these the page would be slow and no help; all of them are in `/v1/workers`.
MAX_ROWS = 500
CONNECTED_STATUSES = (WorkerStatus.IDLE, WorkerStatus.BUSY, WorkerStatus.DRAINING, WorkerStatus.ERROR)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What the page shows of one worker."""

    id: str
    hostname: str
    version: str
    status: str
    active_runs: int
    max_concurrent_runs: int
    #: How much of its slots is taken, 0 to 100.
    load: int
    heartbeat_at: str
    heartbeat_age: str
    late: bool
    agents: Sequence[AgentSpec]
    labels: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """What the page shows of all of them."""

    connected: int
    #: Workers whose stream broke and that may still come back.
    away: int
    taken: int
    slots: int
    load: int
    statuses: Sequence[tuple[str, int]]
    #: Workers that have no row.
    hidden: int


class WorkerPage:
    """Its `get` is the page, its `get_live` the part of it that changes, which the page fetches again and again."""

    def __init__(self, workers: WorkerApi, now: Callable[[], Now]) -> None:
        self._workers = workers
        self._now = now
        environment = Environment(
            loader=PackageLoader("taskrun.adapters.http", "ui"),
            # Everything a worker says of itself is a stranger's text.
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._page = environment.get_template("workers.html")
        self._live = environment.get_template("live.html")

    async def get(self, request: Request) -> Response:
        """The whole page."""
        return await self._render(self._page.render, request)

    async def get_live(self, request: Request) -> Response:
        """The element with the id `fleet` alone."""
        return await self._render(self._live.render, request)

    async def _render(self, template: Callable[..., str], request: Request) -> Response:
        views = self._workers.workers()
        now_ms = self._now().utc_ms
        origin = f"{request.url.scheme}://{request.headers['host']}"
        # The views are values: a thread may read them while the loop goes on.
        return HTMLResponse(await asyncio.to_thread(_fill, template, views, now_ms, origin))


def _fill(template: Callable[..., str], views: Sequence[WorkerView], now_ms: int, origin: str) -> str:
    rows = [worker_row(view, now_ms) for view in views[:MAX_ROWS]]
    return template(workers=rows, fleet=fleet_summary(views), origin=origin, version=__version__)


def worker_row(view: WorkerView, now_ms: int) -> WorkerRow:
    """One line of the table."""
    age_ms = heartbeat_age_ms(view, now_ms)
    return WorkerRow(
        id=view.id,
        hostname=view.info.hostname,
        version=view.info.version,
        status=view.status.value,
        active_runs=view.active_runs,
        max_concurrent_runs=view.max_concurrent_runs,
        load=_percent(view.active_runs, view.max_concurrent_runs),
        heartbeat_at=_utc(view.last_heartbeat_ms) if age_ms is not None else "",
        heartbeat_age=age_text(age_ms),
        late=age_ms is not None and age_ms > LATE_MS,
        agents=view.info.agents,
        labels=sorted(view.info.labels.items()),
    )


def fleet_summary(views: Sequence[WorkerView]) -> FleetSummary:
    """The figures above the table."""
    counts = Counter(view.status for view in views)
    connected = [view for view in views if view.status in CONNECTED_STATUSES]
    taken = sum(view.active_runs for view in connected)
    slots = sum(view.max_concurrent_runs for view in connected)
    return FleetSummary(
        connected=len(connected),
        away=len(views) - len(connected),
        taken=taken,
        slots=slots,
        load=_percent(taken, slots),
        statuses=[(status.value, counts[status]) for status in CONNECTED_STATUSES],
        hidden=max(0, len(views) - MAX_ROWS),
    )


def age_text(age_ms: int | None) -> str:
    """A length of time in its two largest units: `4 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    if age_ms is None:
        return "none yet"
    minutes, seconds = divmod(age_ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _percent(part: int, whole: int) -> int:
    return min(100, round(100 * part / whole)) if whole > 0 else 0


def _utc(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
