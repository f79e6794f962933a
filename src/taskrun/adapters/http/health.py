"""`GET /health`: whether this control plane takes in work."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class HealthRoute:
    """Its `get` is the route."""

    def __init__(self, ready: Callable[[], bool], draining: Callable[[], bool]) -> None:
        self._ready, self._draining = ready, draining

    async def get(self, _: Request) -> Response:
        """200 `ok`; 503 `draining`, or `starting`: also while it begins again from a store that failed."""
        if self._ready():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "draining" if self._draining() else "starting"}, 503)
