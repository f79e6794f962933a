"""The fence around every route: whose host name, whose web page, how large, and what a browser may do with the answer.

A browser of the operator's can reach this port from any web page he visits, and would show his key along, or needs none
on his own machine. So a page of another origin gets nothing changed (Origin) and nothing read (no CORS, no rebound
host names).
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskrun.adapters.http.bodies import MAX_BODY_BYTES
from taskrun.adapters.http.refusals import refusal

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Perimeter:
    """ASGI middleware. `allowed_hosts` are the names, without port, under which this server may be asked for."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = LOOPBACK_HOSTS | {_bracketed(host.lower()) for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers itself, or lets the request pass; either way the answer carries the security headers."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        stopped_by = self._objection(scope["method"], Headers(scope=scope))
        return await (stopped_by or self._app)(scope, receive, guarded)

    def _objection(self, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or _without_port(host) not in self._hosts:
            return refusal(421, "This server does not answer under that host name.")
        origin = headers.get("origin")
        if method not in _SAFE_METHODS and origin is not None and not _is_own(origin.lower(), host):
            return refusal(403, "Web pages of other origins may not do this.")
        if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:
            return refusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        return None


def _is_own(origin: str, host: str) -> bool:
    return origin in (f"http://{host}", f"https://{host}")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and (name.endswith("]") or ":" not in name) else host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
