"""`docs/openapi.json` describes the HTTP port: all of it, and as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from taskrun.adapters.http.refusals import _CODES
from taskrun.domain.identity import Role
from taskrun.domain.rights import ROUTES, is_open
from taskrun.domain.status import WorkerStatus
from tests.adapters.http.conftest import Surface, worker_view

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[3] / "docs/openapi.json").read_text())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
#: Valid requests of each, and, of those to which something is said, requests that are none.
TRIED = [(call, GenerationMode.POSITIVE) for call in OPERATIONS] + [
    (call, GenerationMode.NEGATIVE) for call, does in OPERATIONS.items() if {"parameters", "requestBody"} & set(does)
]
CASES = 15

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network() -> AsyncIterator[Surface]:
    """The port as a network sees it: without a key one is nobody."""
    surface = Surface(stranger=Role.NOBODY)
    surface.workers.views = [worker_view(), worker_view("w-2", heartbeat_age_ms=None)]
    server = surface.server()
    surface.port = await server.start()
    yield surface
    await server.stop()


async def test_it_has_the_routes_that_there_are() -> None:
    assert set(OPERATIONS) == set(ROUTES)


@pytest.mark.parametrize("call", OPERATIONS)
async def test_it_says_where_a_key_is_needed(call: str) -> None:
    operation = OPERATIONS[call]
    assert (operation.get("security") == [{}]) is is_open(call)
    assert ("403" in operation["responses"]) is not is_open(call)


async def test_it_has_the_states_that_workers_have() -> None:
    assert DOCUMENT["components"]["schemas"]["WorkerStatus"]["enum"] == [status.value for status in WorkerStatus]


async def test_it_has_the_words_for_every_refusal() -> None:
    error = DOCUMENT["components"]["schemas"]["Refusal"]["properties"]["error"]
    assert error["properties"]["code"]["enum"] == [*_CODES.values(), "REFUSED"]


@pytest.mark.parametrize(("call", "mode"), TRIED)
async def test_what_is_answered_is_what_it_says(network: Surface, call: str, mode: GenerationMode) -> None:
    await asyncio.to_thread(try_out, network, call, mode)


def try_out(surface: Surface, call: str, mode: GenerationMode) -> None:
    method, path = call.split()
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=surface.url)
    cases = schema[path][method].as_strategy(generation_mode=mode)
    known = {"Authorization": "Bearer the admin key", "Host": "localhost"}

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def each(case: Case[Any]) -> None:
        # Who fails is slowed; each case here is another's.
        surface.seconds += 3600
        case.call_and_validate(headers=known)

    each()
