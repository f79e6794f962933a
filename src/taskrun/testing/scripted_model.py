"""A model that says what a script tells it, for runs without a provider: the streaming Messages API on loopback.

    with ScriptedModel() as model:
        environ = {**os.environ, **model.environ()}     # start Claude Code with this

What it says is up to a script (see `model_scripts`); the default one answers support tickets and echoes everything
else. As a process: `python -m taskrun.testing.scripted_model --port 0` prints its URL and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, assert_never

from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    Hang,
    ModelRequest,
    Reply,
    Say,
    Script,
    UseTool,
    default_script,
    spoken_slowly,
)


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
        """What turns a Claude Code CLI to this model."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": "scripted"}

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
    #: Seconds; a client that connects and says nothing is let go.
    timeout = 5

    def do_GET(self) -> None:
        self._json(HTTPStatus.OK, {})

    def do_HEAD(self) -> None:
        self._json(HTTPStatus.OK, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path.partition("?")[0] == "/v1/messages/count_tokens":
            self._json(HTTPStatus.OK, {"input_tokens": _tokens(json.dumps(body.get("messages")))})
        elif self.path.partition("?")[0] == "/v1/messages":
            self._answer(ModelRequest(body, dict(self.headers.items())))
        else:
            self._error(Fail(HTTPStatus.NOT_FOUND, "No such path."))

    def log_message(self, format: str, *args: Any) -> None:
        """The model keeps its requests; nobody reads them on stderr."""

    def _answer(self, request: ModelRequest) -> None:
        model = self.server.model
        reply = model._reply(request)
        match reply:
            case Hang():
                model._closing.wait()
                self.close_connection = True
            case Fail():
                self._error(reply)
            case Say() | UseTool() | BreakOff():
                message = _Message(reply, request, next(model._ids))
                if request.body.get("stream"):
                    self._stream(message, reply.delay if isinstance(reply, Say) else 0.0)
                else:
                    self._json(HTTPStatus.OK, message.whole())
            case _:
                assert_never(reply)

    def _stream(self, message: _Message, delay: float) -> None:
        self._head(HTTPStatus.OK, "text/event-stream")
        for event in message.events():
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            if delay and event["type"] == "content_block_delta" and self.server.model._closing.wait(delay):
                return

    def _error(self, fail: Fail) -> None:
        kind = _ERROR_TYPES.get(fail.status, "api_error")
        extra = {} if fail.retry_after is None else {"retry-after": str(fail.retry_after)}
        self._json(fail.status, {"type": "error", "error": {"type": kind, "message": fail.message}}, extra)

    def _json(self, status: int, value: Any, extra: Mapping[str, str] | None = None) -> None:
        self._head(status, "application/json", extra)
        if self.command != "HEAD":
            self.wfile.write(json.dumps(value).encode())

    def _head(self, status: int, content_type: str, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Connection": "close", **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()


_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _tokens(text: str) -> int:
    return 1 + len(text) // 4


class _Message:
    """A reply in the API's form."""

    def __init__(self, reply: Say | UseTool | BreakOff, request: ModelRequest, number: int) -> None:
        self._reply = reply
        self._number = number
        self._model = request.body.get("model", "")
        self._input_tokens = _tokens(json.dumps(request.body.get("messages")))

    def whole(self) -> dict[str, Any]:
        """As one value."""
        blocks = [start | final for start, _, final in self._blocks()]
        return self._envelope(blocks, self._stop_reason, _tokens(self._reply.text))

    def events(self) -> Iterator[dict[str, Any]]:
        """As a stream; one that breaks off simply ends."""
        yield {"type": "message_start", "message": self._envelope([], None, 1)}
        for index, (start, deltas, _) in enumerate(self._blocks()):
            yield {"type": "content_block_start", "index": index, "content_block": start}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            if isinstance(self._reply, BreakOff):
                return
            yield {"type": "content_block_stop", "index": index}
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": _tokens(self._reply.text)}}
        yield {"type": "message_stop"}

    @property
    def _stop_reason(self) -> str:
        return self._reply.stop_reason if isinstance(self._reply, Say) else "tool_use"

    def _blocks(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]]:
        """Each block as it starts, what is streamed of it, and what is different about it in the end."""
        text = self._reply.text
        if text:
            words = re.findall(r"\s*\S+|\s+$", text)
            yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words], {"text": text}
        if isinstance(self._reply, UseTool):
            call = {"type": "tool_use", "id": f"toolu_{self._number:024}", "name": self._reply.name}
            parts = [{"type": "input_json_delta", "partial_json": json.dumps(self._reply.input)}]
            yield call | {"input": {}}, parts, {"input": self._reply.input}

    def _envelope(self, blocks: list[dict[str, Any]], stop_reason: str | None, output_tokens: int) -> dict[str, Any]:
        return {
            "id": f"msg_{self._number:024}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": blocks,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": self._input_tokens, "output_tokens": output_tokens},
        }


def main() -> None:
    """Serves the default script until SIGTERM or SIGINT; the first line it prints is its URL."""
    parser = argparse.ArgumentParser(description="A scripted model that speaks the Anthropic Messages API on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="between two words of an answer")
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
