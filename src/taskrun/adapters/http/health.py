"""`GET /health`: whether this control plane takes in work."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class HealthRoute:
    """Its `get` is the route. Once it was seen ready, what follows is the end of it, no longer the start."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._was_ready = ready()

    async def get(self, _: Request) -> Response:
        """200 `ok`; 503 `starting` or `draining`."""
        if self._ready():
            self._was_ready = True
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "draining" if self._was_ready else "starting"}, 503)
