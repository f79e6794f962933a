"""Who asks, and whether that may: each route stands behind this door, and `taskrun.domain.rights` has the table.

A caller shows an API key: as a bearer token, or, because that is what a browser can ask a person for, as the password
of HTTP Basic under any name. Both go with each request: there is no session to steal, to forge, or to end.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Awaitable, Callable

from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskrun.adapters.http.refusals import TooSoon
from taskrun.domain.errors import PermissionDenied, Unauthenticated
from taskrun.domain.identity import Role
from taskrun.domain.rights import check_right, is_open
from taskrun.domain.throttle import Throttle
from taskrun.ports.api_keys import ApiKeys

Endpoint = Callable[[Request], Awaitable[Response]]

#: What a 401 asks for. One challenge each: a browser does not look beyond the first of several in a line.
_BEARER, _BASIC = 'Bearer realm="TaskRun"', 'Basic realm="TaskRun: an API key as the password", charset="UTF-8"'


class Door:
    """Lets requests in by their API key. Wrong keys are counted by the address of the peer; good ones never are."""

    def __init__(self, keys: ApiKeys, throttle: Throttle, stranger: Role) -> None:
        """`stranger` is the role of one who shows no key: nobody's on a network, a reader's on the machine itself."""
        self._keys, self._throttle, self._stranger = keys, throttle, stranger

    def route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        """The route behind this door. Of one that is open nobody is asked who it is."""
        call = f"{method} {path}"
        return Route(path, endpoint if is_open(call) else self._guarded(call, endpoint), methods=[method])

    def _guarded(self, call: str, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            try:
                name, role = await self._caller(request)
                self._check(role, name, call)
            except Unauthenticated as error:
                raise HTTPException(401, error.message, {"WWW-Authenticate": _challenge(call)}) from None
            return await endpoint(request)

        return guarded

    async def _caller(self, request: Request) -> tuple[str, Role]:
        text = shown_key(request.headers.get("authorization", ""))
        if text is None:
            return "", self._stranger
        peer = request.client.host if request.client else ""
        wait = self._throttle.wait(peer)
        if wait > 0:
            raise _too_soon(wait)
        try:
            key = await self._keys.authenticate(text)
        except Unauthenticated:
            wait = self._throttle.failed(peer)
            logger.info("an API key was refused", peer=peer)
            if wait > 0:
                raise _too_soon(wait) from None
            # Said here again, so that no implementation can let a stranger tell one reason from another.
            raise Unauthenticated("The API key is unknown, expired or revoked.") from None
        return key.name, key.role

    def _check(self, role: Role, name: str, call: str) -> None:
        try:
            check_right(role, call)
        except PermissionDenied as error:
            logger.warning("refused {}: {}", call, error.message, role=role.value, caller=name)
            raise


def shown_key(authorization: str) -> str | None:
    """The key in the header of that name: "" if it is malformed, None if there is no header."""
    if not authorization:
        return None
    scheme, _, rest = authorization.partition(" ")
    read = _SCHEMES.get(scheme.lower())
    return read(rest.strip()) if read else ""


def _password(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode().partition(":")[2]
    except (NoBase64, ValueError):
        return ""


_SCHEMES: dict[str, Callable[[str], str]] = {"bearer": str, "basic": _password}


def _challenge(call: str) -> str:
    """What to ask for: people come to the pages, programs to the rest."""
    return _BASIC if " /ui/" in call else _BEARER


def _too_soon(wait: float) -> TooSoon:
    return TooSoon("Too many wrong API keys: try again later.", wait)
