from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from taskrun.adapters.http.bodies import read_json
from taskrun.adapters.http.enrolling_route import MAX_ENROLL_BYTES, _EnrollRequest
from taskrun.domain.errors import InvalidArgument, StoreFailed, Unauthenticated
from tests.adapters.http.conftest import GOOD, Surface

pytestmark = pytest.mark.asyncio(loop_scope="module")


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_token_and_a_request_are_exchanged_for_an_identity(surface: Surface) -> None:
    answer = await surface.enroll()
    assert answer.status_code == 200
    assert answer.json() == {
        "worker_id": "w-1",
        "certificate_pem": "the certificate",
        "ca_pem": "the CA",
        "grpc_addr": "https://127.0.0.1:1",
    }
    assert surface.desk.asked == [("the token", b"the request")]


async def test_an_identity_is_not_kept_by_any_cache(surface: Surface) -> None:
    assert (await surface.enroll()).headers["cache-control"] == "no-store"


async def test_a_bad_certificate_request_is_refused_with_its_reason(surface: Surface) -> None:
    surface.desk.refusal = InvalidArgument("The key is too weak.")
    answer = await surface.enroll()
    assert refused(answer) == (400, "INVALID_ARGUMENT")
    assert answer.json()["error"]["message"] == "The key is too weak."


async def test_an_unknown_a_used_and_an_expired_token_get_one_body(surface: Surface) -> None:
    bodies = set()
    for reason in ("unknown", "used", "expired"):
        surface.desk.refusal = Unauthenticated(reason)
        answer = await surface.enroll()
        assert answer.status_code == 401
        bodies.add(answer.content)
    assert len(bodies) == 1


async def test_a_store_that_fails_is_our_unavailability(surface: Surface) -> None:
    surface.desk.refusal = StoreFailed("The store is away.")
    assert refused(await surface.enroll()) == (503, "UNAVAILABLE")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"token": "t"}',
        b'{"token": NaN, "csr_pem": "c"}',
        b'{"token": "t", "csr_pem": "c", "extra": 1}',
        b'{"token": "t", "csr_pem": "c", "token": "u"}',
        b'{"token": "t", "csr_pem": 1}',
        b'{"token": "t", "csr_pem": ["c"]}',
        b'{"token": "\\ud800", "csr_pem": "c"}',
        b'{"token": "\xff", "csr_pem": "c"}',
        b'{"token": "t", "csr_pem": "c"} {}',
        b"[" * 10_000,
        b'{"token":' * 1_000,
        b"\x00\x01\x02",
    ],
)
async def test_json_that_is_malformed_doubled_unknown_or_deep_costs_no_token(surface: Surface, body: bytes) -> None:
    assert refused(await surface.enroll_raw(body)) == (400, "INVALID_ARGUMENT")
    assert surface.desk.asked == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_what_does_not_call_itself_json_is_refused(surface: Surface, kind: str) -> None:
    assert refused(await surface.enroll_raw(b"{}", kind)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_json_may_name_its_charset(surface: Surface) -> None:
    body = b'{"token": "t", "csr_pem": "c"}'
    assert (await surface.enroll_raw(body, "Application/JSON; charset=utf-8")).status_code == 200


async def test_a_body_above_the_limit_is_refused_by_its_length(surface: Surface) -> None:
    body = {**GOOD, "csr_pem": "x" * MAX_ENROLL_BYTES}
    assert refused(await surface.enroll(body)) == (413, "TOO_LARGE")
    assert surface.desk.asked == []


async def test_a_body_above_the_limit_is_refused_while_it_is_read(surface: Surface) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_ENROLL_BYTES // 1024 + 1):
            yield b" " * 1024

    answer = await surface.client.post(
        surface.url + "/v1/enroll", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert refused(answer) == (413, "TOO_LARGE")
    assert surface.desk.asked == []


async def test_a_body_of_exactly_the_limit_is_read(surface: Surface) -> None:
    body = b'{"token": "t", "csr_pem": "c"}'
    assert (await surface.enroll_raw(body.ljust(MAX_ENROLL_BYTES))).status_code == 200


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        return {}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(HTTPException) as given_up:
        await read_json(Request(scope, never), _EnrollRequest, 100, timeout=0.01)
    assert given_up.value.status_code == 408


async def test_a_peer_that_goes_away_in_the_middle_is_no_error_of_ours(
    surface: Surface, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", surface.port)
    writer.write(
        b"POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await surface.enroll()).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_whoever_keeps_failing_is_told_when_to_come_again(surface: Surface) -> None:
    surface.desk.refusal = Unauthenticated("no")
    answers = [await surface.enroll() for _ in range(21)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert answers[-1].headers["retry-after"] == "6"
    assert refused(answers[-1])[1] == "RESOURCE_EXHAUSTED"


async def test_a_slowed_attempt_does_not_reach_the_tokens(surface: Surface) -> None:
    surface.desk.refusal = Unauthenticated("no")
    for _ in range(25):
        await surface.enroll()
    assert len(surface.desk.asked) == 20


async def test_after_the_wait_an_honest_worker_enrols(surface: Surface) -> None:
    surface.desk.refusal = Unauthenticated("no")
    for _ in range(21):
        await surface.enroll()
    surface.desk.refusal, surface.seconds = None, surface.seconds + 6
    assert (await surface.enroll()).status_code == 200


async def test_honest_enrolments_are_never_slowed(surface: Surface) -> None:
    assert {(await surface.enroll()).status_code for _ in range(150)} == {200}


async def test_bad_requests_count_as_failures(surface: Surface) -> None:
    for _ in range(20):
        await surface.enroll_raw(b"{}")
    assert (await surface.enroll()).status_code == 429
