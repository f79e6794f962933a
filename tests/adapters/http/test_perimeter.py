"""No web page that the operator visits starts agents, enrols workers, or reads what is here."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.adapters.http.conftest import Surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = ["/health", "/metrics", "/v1/workers", "/ui/workers", "/ui/workers/live", "/", "/none", "/v1/enroll"]


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_carries_the_security_headers(surface: Surface, path: str) -> None:
    headers = (await surface.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]


async def test_a_bug_of_ours_is_answered_with_the_security_headers_too(surface: Surface) -> None:
    surface.workers.broken = True
    answer = await surface.get("/v1/workers")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("path", PATHS)
async def test_no_answer_names_the_server(surface: Surface, path: str) -> None:
    assert "server" not in (await surface.get(path)).headers


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:50052", "[::1]:50052", "CONTROL.example.com"])
async def test_it_answers_under_loopbacks_names_and_those_allowed(surface: Surface, host: str) -> None:
    assert (await surface.get("/health", Host=host)).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::2]", "localhost:x", ""]
)
@pytest.mark.parametrize("path", ["/health", "/ui/workers", "/ui/assets/workers.js"])
async def test_a_host_name_that_was_rebound_to_us_is_refused(surface: Surface, host: str, path: str) -> None:
    assert refused(await surface.get(path, Host=host)) == (421, "MISDIRECTED")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1"]
)
async def test_a_page_of_another_origin_cannot_post(surface: Surface, origin: str) -> None:
    assert refused(await surface.enroll(Origin=origin)) == (403, "PERMISSION_DENIED")
    assert surface.desk.asked == []


async def test_a_page_of_our_own_may_post(surface: Surface) -> None:
    assert (await surface.enroll(Origin=surface.url)).status_code == 200


async def test_a_form_cannot_post_what_counts_as_json(surface: Surface) -> None:
    answer = await surface.client.post(surface.url + "/v1/enroll", data={"token": "t", "csr_pem": "c"})
    assert answer.status_code == 415
    assert surface.desk.asked == []


async def test_no_page_is_told_that_it_may_read(surface: Surface) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = await surface.client.options(surface.url + "/v1/enroll", headers=asked)
    plain = await surface.get("/v1/workers", Origin="https://evil.example")
    assert preflight.status_code == 405
    assert not [name for name in (*preflight.headers, *plain.headers) if name.startswith("access-control")]


async def test_a_body_above_the_limit_is_refused_on_every_route(surface: Surface) -> None:
    answer = await surface.client.request("GET", surface.url + "/health", content=b"x" * (1024 * 1024 + 1))
    assert refused(answer) == (413, "TOO_LARGE")


async def test_a_body_of_exactly_the_limit_passes(surface: Surface) -> None:
    answer = await surface.client.request("GET", surface.url + "/health", content=b"x" * (1024 * 1024))
    assert answer.status_code == 200


async def test_two_host_headers_are_refused(surface: Surface) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", surface.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
