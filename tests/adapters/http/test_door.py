"""Every role, and nobody, at every route, over TLS; and what becomes of wrong keys."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from starlette.routing import Route

from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.http.door import Door, shown_key
from taskrun.adapters.http.server import HttpServer
from taskrun.domain.identity import CLIENT_ROLES, Role
from taskrun.domain.rights import ROUTES
from taskrun.domain.throttle import Throttle
from tests.adapters.http.conftest import GOOD, Keys, Surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Those that HTTP can tell apart.
ROLES = [Role.NOBODY, *CLIENT_ROLES]
OPEN = sorted(route for route, roles in ROUTES.items() if Role.NOBODY in roles)
CLOSED = sorted(ROUTES.keys() - OPEN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surface]:
    """The surface as it is on a network: with TLS, and strangers are nobody."""
    certs = tmp_path_factory.mktemp("certs")
    init_certs(certs)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certs / "server.crt", certs / "server.key")
    trust = ssl.create_default_context(cafile=certs / "ca.crt")
    surface = Surface(stranger=Role.NOBODY, client=httpx.AsyncClient(verify=trust))
    server = HttpServer(surface.app(), "127.0.0.1", 0, tls=tls)
    surface.scheme, surface.port = "https", await server.start()
    async with surface.client:
        yield surface
    await server.stop()


@pytest.fixture
def surface(network: Surface) -> Surface:
    network.renew()
    return network


def bearer(role: Role) -> dict[str, str]:
    return {} if role is Role.NOBODY else {"Authorization": f"Bearer the {role.value} key"}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'me:{password}'.encode()).decode()}"}


async def ask(surface: Surface, route: str, headers: dict[str, str]) -> httpx.Response:
    method, path = route.replace("{name}", "workers.css").split(" ")
    body = GOOD if method == "POST" else None
    return await surface.client.request(method, surface.url + path, headers=headers, json=body)


def routes_of(surface: Surface) -> set[str]:
    return {
        f"{method} {route.path}"
        for route in surface.app().routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }


async def test_the_table_names_every_route_and_no_other(surface: Surface) -> None:
    assert routes_of(surface) == ROUTES.keys()
    assert len(routes_of(surface)) == len(surface.app().routes)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_over_tls_what_the_table_says_and_nothing_else(
    surface: Surface, role: Role, route: str
) -> None:
    status = (await ask(surface, route, bearer(role))).status_code
    assert (status not in {401, 403}) is (role in ROUTES[route])


@pytest.mark.parametrize("role", ROLES)
async def test_a_route_that_the_table_does_not_name_is_denied_although_it_is_served(
    surface: Surface, role: Role
) -> None:
    async def forgotten(_: object) -> None:
        pytest.fail("It was served.")

    app = surface.app()
    door = Door(Keys(), Throttle(lambda: 0.0), Role.NOBODY)
    app.router.routes.append(door.route("GET", "/forgotten", forgotten))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get("/forgotten", headers=bearer(role))
    assert answer.status_code == (401 if role is Role.NOBODY else 403)


@pytest.mark.parametrize("route", CLOSED)
async def test_the_head_of_a_route_is_as_closed_as_the_route(surface: Surface, route: str) -> None:
    path = route.replace("{name}", "workers.css").split(" ")[1]
    assert (await surface.client.head(surface.url + path)).status_code == 401


@pytest.mark.parametrize("route", CLOSED)
async def test_a_key_may_be_a_browsers_password(surface: Surface, route: str) -> None:
    assert (await ask(surface, route, basic("the read key"))).status_code == 200


@pytest.mark.parametrize("route", CLOSED)
async def test_who_shows_nothing_is_asked_for_what_he_can_show(surface: Surface, route: str) -> None:
    answer = await ask(surface, route, {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"].split()[0] == ("Basic" if "/ui/" in route else "Bearer")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer wrong",
        "Bearer",
        "Digest the read key",
        "the read key",
        "Basic !!!",
        "Basic /w==",
        basic("wrong")["Authorization"],
        basic("")["Authorization"],
    ],
)
async def test_what_is_no_key_opens_nothing_and_is_answered_in_the_same_words(surface: Surface, header: str) -> None:
    answer = await ask(surface, "GET /v1/workers", {"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The API key is unknown, expired or revoked."


async def test_an_open_route_asks_nobody_who_it_is(surface: Surface) -> None:
    for route in OPEN:
        assert (await ask(surface, route, {"Authorization": "Bearer wrong"})).status_code < 400


async def test_wrong_keys_are_slowed_and_a_good_one_of_that_address_waits_too(surface: Surface) -> None:
    guess = {"Authorization": "Bearer wrong"}
    statuses = [(await ask(surface, "GET /metrics", guess)).status_code for _ in range(40)]
    assert statuses == [401] * 20 + [429] * 20
    answer = await ask(surface, "GET /metrics", bearer(Role.READ))
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 6
    surface.seconds += 6
    assert (await ask(surface, "GET /metrics", bearer(Role.READ))).status_code == 200


async def test_good_keys_and_no_keys_cost_nothing(surface: Surface) -> None:
    for _ in range(30):
        assert (await ask(surface, "GET /metrics", bearer(Role.READ))).status_code == 200
        assert (await ask(surface, "GET /metrics", {})).status_code == 401
    assert (await ask(surface, "GET /metrics", bearer(Role.READ))).status_code == 200


async def test_wrong_keys_keep_no_worker_from_enrolling(surface: Surface) -> None:
    for _ in range(30):
        await ask(surface, "GET /metrics", {"Authorization": "Bearer wrong"})
    assert (await ask(surface, "POST /v1/enroll", {})).status_code == 200


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("", None),
        ("Bearer x", "x"),
        ("bearer  x ", "x"),
        ("Basic bWU6eDp5", "x:y"),
        ("BASIC Onk=", "y"),
        ("Basic bWU=", ""),
        ("Bearer ", ""),
        ("Token x", ""),
    ],
)
async def test_the_key_in_a_header(header: str, key: str | None) -> None:
    assert shown_key(header) == key
