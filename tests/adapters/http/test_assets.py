from __future__ import annotations

import pytest

from tests.adapters.http.conftest import Surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = {"workers.css": "text/css", "workers.js": "text/javascript", "icon.svg": "image/svg+xml"}


@pytest.mark.parametrize("name", TYPES)
async def test_an_asset_comes_with_its_type_and_may_be_kept(surface: Surface, name: str) -> None:
    answer = await surface.get(f"/ui/assets/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(TYPES[name])
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", TYPES)
async def test_a_browser_that_has_it_is_told_so(surface: Surface, name: str) -> None:
    etag = (await surface.get(f"/ui/assets/{name}")).headers["etag"]
    again = await surface.get(f"/ui/assets/{name}", **{"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["workers.html", "live.html", "../app.py", "..%2fapp.py", "%00", "workers.js/"])
async def test_nothing_else_can_be_had(surface: Surface, name: str) -> None:
    assert (await surface.get(f"/ui/assets/{name}")).status_code == 404
