from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.files import init_certs, load_key_pair
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.http.enroll_client import AnswerLost
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.apps.enrolling import ADDRESS, address_in, enroll, is_enrolled, was_enrolled
from taskrun.domain import tokens
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, TaskRunError, Unauthenticated, Unavailable
from taskrun.engine.enrollment import Enroller
from taskrun.ports.enrollment import Enrollment


def make_enroller(directory: Path) -> Enroller:
    """A control plane's enrolment with a CA of its own in `directory`."""
    init_certs(directory)
    ids, clock = count(), SystemClock()
    authority = FileAuthority(directory / "ca.crt", directory / "ca.key", clock)
    return Enroller(authority, MemoryTokenStore(), clock, lambda: str(next(ids)))


class EnrollmentServer:
    """Offers an enroller over HTTP, by the plainest means."""

    def __init__(self, enroller: Enroller) -> None:
        self.enroller = enroller
        #: What is done to an answer on its way.
        self.alter: Callable[[Enrollment], Enrollment] = lambda answer: answer
        #: So many answers are lost on their way.
        self.loses = 0
        self.url = ""

    def answer(self, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        try:
            given = self.alter(asyncio.run(self.enroller.enroll(asked["token"], asked["csr_pem"].encode())))
        except Unauthenticated:
            return 401, b"{}"
        except TaskRunError:
            return 400, b"{}"
        pems = {"certificate_pem": given.certificate_pem.decode(), "ca_pem": given.ca_pem.decode()}
        return 200, json.dumps({"worker_id": given.worker_id, "grpc_addr": given.grpc_addr, **pems}).encode()


@pytest.fixture
def enroller(tmp_path: Path) -> Enroller:
    return make_enroller(tmp_path / "control-plane")


@pytest.fixture
def server(enroller: Enroller) -> Iterator[EnrollmentServer]:
    offered = EnrollmentServer(enroller)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = offered.answer(self.rfile.read(int(self.headers["Content-Length"])))
            if offered.loses:
                offered.loses -= 1
                self.close_connection = True
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        offered.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield offered
        http.shutdown()
        thread.join()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "worker"


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file"


async def token_of(enroller: Enroller, worker_id: str = "w-1") -> str:
    return (await enroller.create_token(worker_id)).token


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def test_an_enrolled_worker_holds_the_key_of_its_certificate(server: EnrollmentServer, directory: Path) -> None:
    assert await enroll(server.url, await token_of(server.enroller), directory) == "w-1"
    pair = load_key_pair(directory / "worker.crt", directory / "worker.key")
    assert parse_peer(pair.certificate_pem).name == "w-1"


@pytest.mark.parametrize(
    ("told", "kept"),
    [("https://plane:1", "https://plane:1"), ("", ""), ("http://plane:1", ""), ("https://h\u00e4:1", "")],
)
async def test_a_worker_keeps_the_address_that_it_is_told(
    server: EnrollmentServer, directory: Path, told: str, kept: str
) -> None:
    assert address_in(directory) == ""
    server.alter = lambda answer: replace(answer, grpc_addr=told)
    await enroll(server.url, await token_of(server.enroller), directory)
    assert address_in(directory) == kept


def test_an_address_that_is_none_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ADDRESS).write_text("nonsense of mine://x")
    assert address_in(tmp_path) == ""


async def test_an_enrolled_worker_trusts_the_control_plane_s_ca(
    server: EnrollmentServer, directory: Path, tmp_path: Path
) -> None:
    await enroll(server.url, await token_of(server.enroller), directory)
    assert (directory / "ca.crt").read_bytes() == (tmp_path / "control-plane" / "ca.crt").read_bytes()


async def test_the_key_is_its_owner_s_alone(server: EnrollmentServer, directory: Path) -> None:
    await enroll(server.url, await token_of(server.enroller), directory)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "worker.key")]
    assert modes == [0o700, 0o600]


async def test_exactly_four_files_are_left(server: EnrollmentServer, directory: Path) -> None:
    await enroll(server.url, await token_of(server.enroller), directory)
    assert set(contents(directory)) == {"worker.key", "worker.crt", "ca.crt", "worker.token"}


async def test_enrolling_again_replaces_key_and_certificate_together(server: EnrollmentServer, directory: Path) -> None:
    await enroll(server.url, await token_of(server.enroller), directory)
    before = contents(directory)
    assert await enroll(server.url, await token_of(server.enroller, "w-2"), directory) == "w-2"
    assert contents(directory)["worker.key"] != before["worker.key"]
    load_key_pair(directory / "worker.crt", directory / "worker.key")


async def test_a_directory_knows_the_token_that_it_was_enrolled_with(
    server: EnrollmentServer, directory: Path, tmp_path: Path
) -> None:
    token, another = await token_of(server.enroller), await token_of(server.enroller)
    assert not is_enrolled(token, directory)
    await enroll(server.url, token, directory)
    assert is_enrolled(token, directory)
    assert not is_enrolled(another, directory)
    assert token not in "".join(map(str, contents(directory).values()))
    (directory / "ca.crt").write_bytes((tmp_path / "control-plane" / "server.crt").read_bytes())
    assert not is_enrolled(token, directory)


async def test_a_directory_tells_that_some_token_has_enrolled_it(
    server: EnrollmentServer, directory: Path, tmp_path: Path
) -> None:
    assert not was_enrolled(directory)
    # This one has a worker's certificate too, which no token gave it.
    assert not was_enrolled(tmp_path / "control-plane")
    await enroll(server.url, await token_of(server.enroller), directory)
    assert was_enrolled(directory)


@pytest.mark.parametrize("name", ["worker.key", "worker.crt", "ca.crt", "worker.token"])
async def test_a_directory_with_a_broken_file_counts_as_not_enrolled(
    server: EnrollmentServer, directory: Path, name: str
) -> None:
    token = await token_of(server.enroller)
    await enroll(server.url, token, directory)
    (directory / name).write_bytes(b"\xff")
    assert not is_enrolled(token, directory)
    assert not was_enrolled(directory)


async def test_a_used_token_changes_nothing(server: EnrollmentServer, directory: Path) -> None:
    token = await token_of(server.enroller)
    await enroll(server.url, token, directory)
    before = contents(directory)
    with pytest.raises(Unauthenticated):
        await enroll(server.url, token, directory)
    assert contents(directory) == before


async def test_a_middleman_who_hands_out_his_own_ca_is_found_out(
    server: EnrollmentServer, directory: Path, tmp_path: Path
) -> None:
    _, pin = tokens.split(await token_of(server.enroller))
    # He takes any token and answers with certificates that fit together; but the pin in the token is not his.
    server.enroller = make_enroller(tmp_path / "middleman")
    secret, _ = tokens.split(await token_of(server.enroller))
    with pytest.raises(Unauthenticated, match="somebody is in between"):
        await enroll(server.url, tokens.compose(secret, pin), directory)
    assert contents(directory) == {}


async def test_a_certificate_of_somebody_else_leaves_nothing_behind(server: EnrollmentServer, directory: Path) -> None:
    server.alter = lambda answer: Enrollment("w-9", answer.certificate_pem, answer.ca_pem)
    with pytest.raises(TaskRunError):
        await enroll(server.url, await token_of(server.enroller), directory)
    assert contents(directory) == {}


async def test_a_directory_of_another_control_plane_is_left_alone_and_the_token_unspent(
    server: EnrollmentServer, directory: Path
) -> None:
    init_certs(directory)
    before, token = contents(directory), await token_of(server.enroller)
    with pytest.raises(FailedPrecondition, match="another control plane's CA"):
        await enroll(server.url, token, directory)
    assert contents(directory) == before
    assert await enroll(server.url, token, directory.parent / "another") == "w-1"


async def test_a_directory_that_cannot_be_written_does_not_cost_the_token(
    server: EnrollmentServer, directory: Path, a_file: Path
) -> None:
    token = await token_of(server.enroller)
    with pytest.raises(FailedPrecondition, match="cannot be written"):
        await enroll(server.url, token, a_file / "certs")
    assert await enroll(server.url, token, directory) == "w-1"


def test_a_malformed_token_is_refused_before_anything_is_done(directory: Path) -> None:
    with pytest.raises(InvalidArgument, match="no bootstrap token"):
        asyncio.run(enroll("http://127.0.0.1:1", "my token", directory))
    assert not directory.exists()


async def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_key(
    server: EnrollmentServer, directory: Path
) -> None:
    server.loses, pauses = 2, list[float]()
    assert await enroll(server.url, await token_of(server.enroller), directory, wait=pauses.append) == "w-1"
    load_key_pair(directory / "worker.crt", directory / "worker.key")
    assert pauses == [0.5, 1.0]


async def test_after_three_lost_answers_it_gives_up_and_leaves_nothing_behind(
    server: EnrollmentServer, directory: Path
) -> None:
    server.loses, pauses = 9, list[float]()
    with pytest.raises(AnswerLost):
        await enroll(server.url, await token_of(server.enroller), directory, wait=pauses.append)
    assert (9 - server.loses, len(pauses)) == (3, 2)
    assert contents(directory) == {}


async def test_a_control_plane_that_is_not_there_is_asked_once(enroller: Enroller, directory: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(Unavailable):
        await enroll("http://127.0.0.1:1", await token_of(enroller), directory, wait=pauses.append)
    assert pauses == []


async def test_of_many_workers_with_one_token_one_is_enrolled(server: EnrollmentServer, tmp_path: Path) -> None:
    token = await token_of(server.enroller)
    calls = [enroll(server.url, token, tmp_path / f"worker-{number}") for number in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count("w-1") == 1
    assert sum(isinstance(answer, Unauthenticated) for answer in answers) == 19
