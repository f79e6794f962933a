"""The HTTP surface, put together: health, metrics, workers, enrolment and the page."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from taskrun.adapters.http.assets import Assets
from taskrun.adapters.http.door import Door
from taskrun.adapters.http.enrolling_route import EnrollRoute
from taskrun.adapters.http.health import HealthRoute
from taskrun.adapters.http.perimeter import SECURITY_HEADERS, Perimeter
from taskrun.adapters.http.refusals import HANDLERS, refusal
from taskrun.adapters.http.worker_json import WorkersRoute
from taskrun.adapters.http.worker_page import WorkerPage
from taskrun.domain.identity import Role
from taskrun.domain.now import Now
from taskrun.domain.throttle import Throttle
from taskrun.ports.api_keys import ApiKeys
from taskrun.ports.control_plane import WorkerApi
from taskrun.ports.enrollment import EnrollmentApi

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def system_now() -> Now:
    """This moment, by the machine's clocks."""
    return Now(time.monotonic(), time.time_ns() // 1_000_000)


def create_app(
    workers: WorkerApi,
    enrollment: EnrollmentApi,
    ready: Callable[[], bool],
    metrics: Callable[[], Awaitable[bytes]],
    allowed_hosts: Iterable[str] = (),
    *,
    draining: Callable[[], bool],
    now: Callable[[], Now] = system_now,
    keys: ApiKeys,
    stranger: Role = Role.NOBODY,
    grpc_addr: Callable[[str], str] = lambda asked: "",
) -> Starlette:
    """The ASGI application. It answers under loopback's names and `allowed_hosts` (names or addresses, no port).

    `metrics` gives Prometheus' text format. `stranger` is the role of one who shows no API key. `grpc_addr` says where
    gRPC is for somebody who asked for this host. An address may fail 20 times to enrol and 20 times to show a good key,
    and then 10 times a minute each.
    """
    enroll = EnrollRoute(enrollment, Throttle(lambda: now().mono), grpc_addr)
    route = Door(keys, Throttle(lambda: now().mono), stranger).route
    page = WorkerPage(workers, now)

    async def show_metrics(_: Request) -> Response:
        return Response(await metrics(), headers={"Content-Type": METRICS_TYPE})

    app = Starlette(
        routes=[
            route("GET", "/", _to_the_page),
            route("GET", "/health", HealthRoute(ready, draining).get),
            route("GET", "/metrics", show_metrics),
            route("GET", "/v1/workers", WorkersRoute(workers, now).get),
            route("POST", "/v1/enroll", enroll.post),
            route("GET", "/ui/workers", page.get),
            route("GET", "/ui/workers/live", page.get_live),
            route("GET", "/ui/assets/{name}", Assets().get),
        ],
        middleware=[Middleware(Perimeter, allowed_hosts=tuple(allowed_hosts))],
        exception_handlers={**HANDLERS, Exception: _bug},
    )
    app.router.redirect_slashes = False
    return app


async def _to_the_page(_: Request) -> Response:
    return RedirectResponse("/ui/workers")


async def _bug(_: Request, __: Exception) -> Response:
    """Ours, and logged by the server. This answer does not pass the perimeter, so it brings the headers itself."""
    return refusal(500, "Something went wrong inside the control plane.", SECURITY_HEADERS)
