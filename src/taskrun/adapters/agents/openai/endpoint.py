"""The endpoint over HTTP: one request, its answer as events, and every way in which that can fail."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from taskrun.adapters.agents.openai.definition import OpenAIDefinition
from taskrun.adapters.agents.openai.events import EventReader, TooLong
from taskrun.adapters.agents.openai.failures import CallFailed, refused
from taskrun.adapters.agents.openai.proxy import proxy_for
from taskrun.domain.status import FailureKind

try:
    import httpx
except ImportError as error:
    raise ImportError("it needs httpx, which `pip install taskrun[openai]` brings") from error

_OPENAI = "https://api.openai.com/v1"

_CONNECT_SECONDS = 10.0
_MAX_ERROR_BYTES = 64 * 1024

#: Ends a chat's stream, which else has JSON alone.
_DONE = "[DONE]"

_K = FailureKind


class Endpoint:
    """Where a definition's model is, as the worker's variables say. Nothing is open between two calls."""

    def __init__(self, definition: OpenAIDefinition, variables: Mapping[str, str]) -> None:
        base = variables.get(definition.base_url_variable) or _OPENAI
        self._base = base.rstrip("/")
        self._variables = variables
        # A server of one's own may want no key. Where one was kept in a file, the end of its line may be there still.
        key = variables.get(definition.api_key_variable, "").strip()
        self._headers = {
            **({"Authorization": f"Bearer {key}"} if key else {}),
            # An answer that unpacks to a thousand times its size would be none.
            "Accept-Encoding": "identity",
            "Accept": "text/event-stream",
            **definition.headers,
        }
        self._silence = definition.silence

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any], None]:
        """The answer's events, as they come. Raises `CallFailed`. Close it to end the request."""
        with _translated(_shown(self._base)):
            async with (
                self._client() as client,
                client.stream("POST", f"{self._base}/{path}", json=body, headers=self._headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise refused(response.status_code, response.headers, await _beginning(response), time.time())
                reader = EventReader()
                async for block in response.aiter_raw():
                    for data in reader.feed(block):
                        if data == _DONE:
                            return
                        yield _object(data)

    def _client(self) -> httpx.AsyncClient:
        url = httpx.URL(self._base)
        # httpx would look into the process's environment; what counts is what the agent's definition lets pass.
        return httpx.AsyncClient(
            verify=self._certificates,
            proxy=proxy_for(url.scheme, url.host, self._variables),
            timeout=httpx.Timeout(self._silence, connect=_CONNECT_SECONDS),
            trust_env=False,
            # Where a redirect leads, the key does not belong.
            follow_redirects=False,
        )

    @cached_property
    def _certificates(self) -> ssl.SSLContext | bool:
        """Whom to trust. Reading the certificates takes 20 ms: it is done once."""
        if not self._base.startswith("https:"):
            return False  # nobody shows one
        file, directory = self._variables.get("SSL_CERT_FILE"), self._variables.get("SSL_CERT_DIR")
        if not (file or directory):
            return httpx.create_ssl_context(trust_env=False)
        return ssl.create_default_context(cafile=file or None, capath=directory or None)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Whatever goes wrong on the way is a `CallFailed`."""
    try:
        yield
    except TooLong:
        raise CallFailed(
            _K.BAD_OUTPUT, "The answer has an event that is longer than 1 MiB, and not for a text in it."
        ) from None
    except httpx.TimeoutException as error:
        message = f"The endpoint {name} said nothing for too long, see `silence` ({type(error).__name__})."
        raise CallFailed(_K.AGENT_UNAVAILABLE, message, is_passing=True) from error
    except httpx.LocalProtocolError:
        # Its words would repeat the header that is none, and that is the one with the key: the others were looked at.
        message = (
            f"The endpoint {name} cannot be asked: its key, from the worker's environment, is none that HTTP takes."
        )
        raise CallFailed(_K.AGENT_UNAVAILABLE, message) from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, OSError, ValueError) as error:
        raise CallFailed(_K.AGENT_UNAVAILABLE, f"The endpoint {name} cannot be asked: {error}.") from error
    except httpx.TransportError as error:
        message = f"The connection to {name} failed: {str(error) or type(error).__name__}."
        raise CallFailed(_K.AGENT_UNAVAILABLE, message, is_passing=True) from error


def _shown(url: str) -> str:
    """Without a password, should there be one in it."""
    return re.sub(r"//[^/@]*@", "//", url)


async def _beginning(response: httpx.Response) -> str:
    body = bytearray()
    async for block in response.aiter_raw():
        body += block
        if len(body) > _MAX_ERROR_BYTES:
            break
    return body[:_MAX_ERROR_BYTES].decode(errors="replace")


def _object(data: str) -> Mapping[str, Any]:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise CallFailed(_K.BAD_OUTPUT, "The answer has an event that is no JSON object.")
    return event
