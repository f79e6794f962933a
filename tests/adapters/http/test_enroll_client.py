from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.http.enroll_client import MAX_ANSWER_BYTES, AnswerLost, post, request_enrollment
from taskrun.domain.errors import (
    FailedPrecondition,
    InvalidArgument,
    ProtocolViolation,
    ResourceExhausted,
    TaskRunError,
    Unauthenticated,
    Unavailable,
)
from taskrun.ports.enrollment import Enrollment

GOOD = {"worker_id": "w-1", "certificate_pem": "the certificate", "ca_pem": "the CA"}


@dataclass
class Peer:
    """A server that answers everything in one way, and keeps what it was asked."""

    status: int = 200
    body: bytes = json.dumps(GOOD).encode()
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    url: str = ""
    port: int = 0


def handler_of(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            peer.asked.append((self.path, self.headers["Content-Type"], body))
            self.send_response(peer.status)
            for name, value in peer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(peer.body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def serve(peer: Peer, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(peer)) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        peer.port = server.server_port
        peer.url = f"{'https' if tls else 'http'}://127.0.0.1:{peer.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield peer
        server.shutdown()
        thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    yield from serve(Peer())


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    init_certs(tmp_path)
    return tmp_path


@pytest.fixture
def tls_peer(certs: Path) -> Iterator[Peer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certs / "server.crt", certs / "server.key")
    yield from serve(Peer(), context)


def refusal_of(peer: Peer) -> TaskRunError:
    with pytest.raises(TaskRunError) as refusal:
        request_enrollment(peer.url, "the token", b"the request")
    return refusal.value


def test_the_token_and_the_request_are_posted_as_json(peer: Peer) -> None:
    request_enrollment(peer.url, "the token", b"the request")
    [(path, kind, body)] = peer.asked
    assert (path, kind) == ("/v1/enroll", "application/json")
    assert json.loads(body) == {"token": "the token", "csr_pem": "the request"}


def test_the_answer_comes_back_as_it_was_sent(peer: Peer) -> None:
    assert request_enrollment(peer.url, "t", b"r") == Enrollment("w-1", b"the certificate", b"the CA")


def test_the_answer_says_where_grpc_is(peer: Peer) -> None:
    peer.body = json.dumps(GOOD | {"grpc_addr": "https://plane:1"}).encode()
    assert request_enrollment(peer.url, "t", b"r").grpc_addr == "https://plane:1"


@pytest.mark.parametrize("below", ["", "/", "/v1/enroll", "/v1/enroll/", "/behind/a/proxy"])
def test_the_url_may_name_the_server_or_the_method(peer: Peer, below: str) -> None:
    post(peer.url + below, b"{}")
    assert peer.asked[0][0] == ("/behind/a/proxy" if "proxy" in below else "") + "/v1/enroll"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, InvalidArgument, "still good"),
        (401, Unauthenticated, "unknown, expired or already used"),
        (413, InvalidArgument, "too large"),
        (429, ResourceExhausted, "try again later"),
        (500, Unavailable, "HTTP 500"),
        (503, Unavailable, "HTTP 503"),
        (404, ProtocolViolation, "is this the control plane's HTTP address"),
        (302, ProtocolViolation, "HTTP 302"),
    ],
)
def test_each_refusal_has_its_own_error(peer: Peer, status: int, kind: type[TaskRunError], words: str) -> None:
    peer.status = status
    refusal = refusal_of(peer)
    assert type(refusal) is kind
    assert words in refusal.message


def test_too_many_enrolments_says_when_to_come_again(peer: Peer) -> None:
    peer.status, peer.headers = 429, {"Retry-After": "17"}
    assert "in 17 s" in refusal_of(peer).message


def test_a_redirect_does_not_take_the_token_elsewhere(peer: Peer) -> None:
    peer.status, peer.headers = 307, {"Location": peer.url + "/elsewhere"}
    refusal_of(peer)
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"worker_id": 1, "certificate_pem": "", "ca_pem": ""}', b"\xff", b"[" * 10_000],
)
def test_an_answer_that_is_no_enrolment_is_refused(peer: Peer, body: bytes) -> None:
    peer.body = body
    assert isinstance(refusal_of(peer), ProtocolViolation)


def test_a_field_that_is_not_known_is_passed_over(peer: Peer) -> None:
    peer.body = json.dumps(GOOD | {"added_later": 1}).encode()
    assert request_enrollment(peer.url, "t", b"r").worker_id == "w-1"


def test_an_answer_without_end_is_not_read_to_its_end(peer: Peer) -> None:
    peer.body = b"x" * (MAX_ANSWER_BYTES * 4)
    assert len(post(peer.url, b"{}").body) == MAX_ANSWER_BYTES + 1


def test_nobody_there_is_one_clear_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"Cannot reach the control plane at {address}: Connection refused"):
            post(address, b"{}")


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(AnswerLost, match="timed out"):
        post(f"http://127.0.0.1:{mute.getsockname()[1]}", b"{}", timeout=0.2)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_a_connection_that_is_cut_after_the_request_is_a_lost_answer(said: bytes) -> None:
    def cut(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=cut, args=(listener,))
        thread.start()
        with pytest.raises(AnswerLost):
            request_enrollment(f"http://127.0.0.1:{listener.getsockname()[1]}", "t", b"r")
        thread.join()


def test_a_server_that_speaks_something_else_is_one_clear_sentence() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(Unavailable):
            post(f"http://127.0.0.1:{listener.getsockname()[1]}", b"{}")
        thread.join()


@pytest.mark.parametrize(
    "host", ["control.example.com", "192.0.2.1", "0.0.0.0", "localhost.example.com", "[2001:db8::1]"]
)
def test_plain_http_beyond_this_machine_is_refused(host: str) -> None:
    with pytest.raises(InvalidArgument, match="use https"):
        post(f"http://{host}:1", b"{}")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"])
def test_plain_http_on_this_machine_is_allowed(url: str) -> None:
    with pytest.raises(Unavailable):
        post(url, b"{}")


def test_plain_http_beyond_this_machine_can_be_insisted_on() -> None:
    with pytest.raises(Unavailable):
        post("http://0.0.0.0:1", b"{}", insecure=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:1",
        "ftp://host",
        "https://",
        "https://u:p@host",
        "https://host?t=1",
        "https://host#t",
        "http://h:x",
        "http://[",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="must look like"):
        post(url, b"{}")


def test_https_is_verified_against_the_given_ca(tls_peer: Peer, certs: Path) -> None:
    enrollment = request_enrollment(tls_peer.url, "t", b"r", ca_cert=certs / "ca.crt")
    assert enrollment.worker_id == "w-1"


def test_https_to_a_stranger_sends_no_token(tls_peer: Peer) -> None:
    with pytest.raises(Unavailable, match=r"No trusted connection .* no CA that is trusted here.* ca\.crt") as refusal:
        request_enrollment(tls_peer.url, "t", b"r")
    assert not isinstance(refusal.value, AnswerLost)
    assert tls_peer.asked == []


def test_plain_http_to_a_port_with_tls_says_what_to_write(tls_peer: Peer) -> None:
    with pytest.raises(AnswerLost, match=r"it hung up; if it has TLS \(--http-tls\), write https\."):
        post(tls_peer.url.replace("https", "http"), b"{}")
    assert tls_peer.asked == []


def test_https_to_a_port_without_tls_says_so(peer: Peer, certs: Path) -> None:
    with pytest.raises(Unavailable, match="what listens there does not speak TLS"):
        post(peer.url.replace("http", "https"), b"{}", ca_cert=certs / "ca.crt")


@pytest.mark.parametrize("name", ["none.crt", "ca.key"])
def test_a_ca_file_that_cannot_be_used_is_named(certs: Path, name: str) -> None:
    with pytest.raises(FailedPrecondition, match=name):
        post("https://127.0.0.1:1", b"{}", ca_cert=certs / name)
