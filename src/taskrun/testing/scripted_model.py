"""A model that says what a script tells it, for runs without a provider: a server on loopback.

    with ScriptedModel() as model:
        environ = {**os.environ, **model.environ()}     # start Claude Code with this

What it says is up to a script (see `model_scripts`), how it is asked up to an API (see `APIS`): one script answers
whoever asks. The default one answers support tickets and echoes everything else. As a process:
`python -m taskrun.testing.scripted_model --port 0` prints its URL and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, assert_never

from taskrun.testing.anthropic_api import AnthropicMessages
from taskrun.testing.arguments import amount
from taskrun.testing.model_api import ModelApi, StreamEvent, estimated_tokens
from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    Hang,
    ModelRequest,
    Reply,
    Say,
    Script,
    Spoken,
    Stall,
    UseTool,
    default_script,
    spoken_slowly,
)
from taskrun.testing.openai_chat_api import OpenAIChat
from taskrun.testing.openai_responses_api import OpenAIResponses

#: Where each API is asked.
APIS: Mapping[str, ModelApi] = {
    "/v1/messages": AnthropicMessages(),
    "/v1/chat/completions": OpenAIChat(),
    "/v1/responses": OpenAIResponses(),
}

#: A byte that is no UTF-8, as a text has it (`surrogateescape`) and JSON says it: it is sent as it is.
_NO_UTF8 = re.compile(rb"(?<!\\ud[89ab][0-9a-f]{2})\\udc([89a-f][0-9a-f])")

#: Anthropic's way to have a request counted, not answered.
_COUNTING = "/v1/messages/count_tokens"


def environ_of(url: str) -> dict[str, str]:
    """What turns agents to the model that listens there."""
    anthropic = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "scripted"}
    return {**anthropic, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "scripted"}


class ScriptedModel:
    """A context manager; the server runs inside it, in threads of its own, and leaves nothing behind."""

    def __init__(self, script: Script = default_script, port: int = 0) -> None:
        #: What it answers with; may be changed at any time.
        self.script = script
        #: The latest requests for a message, oldest first.
        self.requests: deque[ModelRequest] = deque(maxlen=1000)
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._ids = count(1)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.model = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="scripted model")

    def __enter__(self) -> ScriptedModel:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environ(self) -> dict[str, str]:
        """What turns Claude Code, Codex, and agents without a program to this model."""
        return environ_of(self.url)

    def wait_for_requests(self, number: int, timeout: float = 30.0) -> bool:
        """Blocks until so many requests have come; false if they did not within `timeout` seconds."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.requests) >= number, timeout)

    def _reply(self, request: ModelRequest) -> Reply:
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        return self.script(request)


class _Server(ThreadingHTTPServer):
    """Its threads are joined when it closes: nothing may outlive the model."""

    daemon_threads = False
    model: ScriptedModel

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    protocol_version = "HTTP/1.1"
    server: _Server
    #: Seconds; a client that connects and says nothing is let go. One that is answered may take its time.
    timeout = 5
    _TIME_TO_READ = 120

    def do_GET(self) -> None:
        self._json(HTTPStatus.OK, {})

    def do_HEAD(self) -> None:
        self._json(HTTPStatus.OK, {})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.connection.settimeout(self._TIME_TO_READ)
        if path == _COUNTING:
            self._json(HTTPStatus.OK, {"input_tokens": estimated_tokens(json.dumps(body.get("messages")))})
        elif path in APIS:
            self._answer(APIS[path], APIS[path].read(body, dict(self.headers.items())))
        else:
            self._json(HTTPStatus.NOT_FOUND, {"error": {"type": "not_found_error", "message": "No such path."}})

    def log_message(self, format: str, *args: Any) -> None:
        """The model keeps its requests; nobody reads them on stderr."""

    def _answer(self, api: ModelApi, request: ModelRequest) -> None:
        reply = self.server.model._reply(request)
        match reply:
            case Hang():
                self._hang()
            case Fail():
                body, headers = api.error(reply)
                retry_after = {} if reply.retry_after is None else {"retry-after": str(reply.retry_after)}
                self._json(reply.status, body, {**headers, **retry_after})
            case Say() | UseTool() | BreakOff() | Stall():
                self._speak(api, reply, request)
            case _:
                assert_never(reply)

    def _speak(self, api: ModelApi, reply: Spoken, request: ModelRequest) -> None:
        number = next(self.server.model._ids)
        if not request.body.get("stream"):
            self._json(HTTPStatus.OK, api.whole(reply, request, number))
            return
        self._head(HTTPStatus.OK, "text/event-stream")
        delay = reply.delay if isinstance(reply, Say) else 0.0
        for event in api.events(reply, request, number):
            self.wfile.write(_sent(event))
            self.wfile.flush()
            if delay and event.is_word and self.server.model._closing.wait(delay):
                return
        if isinstance(reply, Stall):
            self._hang()

    def _hang(self) -> None:
        self.server.model._closing.wait()
        self.close_connection = True

    def _json(self, status: int, value: Any, extra: Mapping[str, str] | None = None) -> None:
        self._head(status, "application/json", extra)
        if self.command != "HEAD":
            self.wfile.write(json.dumps(value).encode())

    def _head(self, status: int, content_type: str, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Connection": "close", **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()


def _sent(event: StreamEvent) -> bytes:
    data = event.data if isinstance(event.data, str) else json.dumps(event.data)
    name = f"event: {event.name}\n" if event.name else ""
    return _NO_UTF8.sub(lambda byte: bytes.fromhex(byte[1].decode()), f"{name}data: {data}\n\n".encode())


def main() -> None:
    """Serves the default script until SIGTERM or SIGINT; the first line it prints is its URL."""
    parser = argparse.ArgumentParser(description="A scripted model on loopback, asked as a provider is.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--delay", type=amount, default=0.0, metavar="SECONDS", help="between two words of an answer")
    options = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread starts, so that they all inherit it and this one can wait for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ScriptedModel(spoken_slowly(default_script, options.delay), options.port) as model:
        sys.stdout.write(f"{model.url}\n")
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
