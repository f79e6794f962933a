"""The page's style, script and icon: files read once, which a browser asks for again only to hear "not changed"."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    "workers.css": "text/css; charset=utf-8",
    "workers.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


class Assets:
    """Its `get` is the route, with `name` in the path. Nothing but the files of the table can be had."""

    def __init__(self) -> None:
        self._assets = {name: _load(name, media_type) for name, media_type in _TYPES.items()}

    async def get(self, request: Request) -> Response:
        """The file, or 304 to a browser that has it."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        # Kept, but asked about each time: after an upgrade no old script meets a new page.
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)


def _load(name: str, media_type: str) -> Asset:
    content = files("taskrun.adapters.http").joinpath("ui", name).read_bytes()
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
