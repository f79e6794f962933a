"""The page in a real browser. It is installed if it may be; if not, that is said."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, HttpCredentials, Page, async_playwright

from taskrun.adapters.grpc.codec_workers import decode_info
from taskrun.adapters.http.server import HttpServer
from taskrun.domain.identity import Role
from taskrun.domain.records import AgentSpec, ModelBackend, WorkerInfo
from taskrun.domain.status import WorkerStatus
from taskrun.v1 import common_pb2
from tests.adapters.http.conftest import Surface, worker_view
from tests.filled import filled

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

#: Milliseconds, for a machine that is busy with something else.
PATIENCE = 30_000
MARKUP = '<img src=x onerror="window.bitten=1"><script>window.bitten=1</script>\'">'


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium")
    if path is None and os.geteuid() == 0:
        for command in ("update", "install -y --no-install-recommends chromium"):
            subprocess.run(
                ["apt-get", *command.split()],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                timeout=600,
                check=False,
            )
        path = shutil.which("chromium")
    if path is None:
        pytest.skip("WARNING: there is no chromium, and it cannot be installed here: the page stays untested")
    return path


@dataclass
class Visit:
    """A browser on the page, and what it complained of: in the end it must be nothing."""

    surface: Surface
    server: HttpServer
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    async def open(self) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        await page.goto(self.surface.url + "/ui/workers")
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    surface = Surface()
    server = surface.server()
    surface.port = await server.start()
    async with surface.client, await browser.new_context() as context:
        visit = Visit(surface, server, context)
        yield visit
    await visit.server.stop()


async def test_markup_in_a_workers_words_does_nothing(visit: Visit) -> None:
    agent = AgentSpec(MARKUP, MARKUP, {}, (ModelBackend(MARKUP, MARKUP),))
    everywhere = decode_info(filled(common_pb2.WorkerInfo, lambda name: MARKUP))
    visit.surface.workers.views = [
        worker_view(info=WorkerInfo(MARKUP, MARKUP, (agent,) * 5, {MARKUP: MARKUP})),
        worker_view("w-3", info=everywhere),
    ]
    page = await visit.open()
    # The script has put the row in anew, from what it fetched.
    visit.surface.workers.views.append(worker_view("w-2", info=WorkerInfo(MARKUP, MARKUP, (agent,), {MARKUP: MARKUP})))
    await page.wait_for_selector("#worker-w-2")
    assert await page.locator("#worker-w-2 .host").inner_text() == MARKUP
    assert await page.locator("#fleet script, #fleet td img").count() == 0
    assert await page.evaluate("window.bitten") is None


@asynccontextmanager
async def on_a_network(browser: Browser, password: str) -> AsyncIterator[Visit]:
    """Where whoever shows no key is nobody: a browser that answers with this password when it is asked."""
    surface = Surface(stranger=Role.NOBODY)
    server = surface.server()
    surface.port = await server.start()
    surface.workers.views = [worker_view("a-1")]
    key = HttpCredentials(username="whoever", password=password)
    async with surface.client, await browser.new_context(http_credentials=key) as context:
        yield Visit(surface, server, context)
    await server.stop()


async def test_with_a_key_as_the_password_the_page_opens_and_goes_on_by_itself(browser: Browser) -> None:
    async with on_a_network(browser, "the read key") as visit:
        page = await visit.open()
        await page.wait_for_selector("#worker-a-1")
        # What the script asks for shows the key, too.
        visit.surface.workers.views.append(worker_view("b-2"))
        await page.wait_for_selector("#worker-b-2")
        await page.wait_for_selector('#pulse[data-state="live"]')
        assert visit.complaints == []


async def test_with_a_wrong_key_the_page_shows_nothing(browser: Browser) -> None:
    async with on_a_network(browser, "no key") as visit:
        page = await visit.context.new_page()
        answer = await page.goto(visit.surface.url + "/ui/workers")
        assert answer is not None
        assert answer.status == 401
        assert "a-1" not in await page.content()


async def test_a_worker_appears_changes_and_goes_by_itself(visit: Visit) -> None:
    page = await visit.open()
    await page.wait_for_selector(".empty")
    visit.surface.workers.views = [worker_view("a-1"), worker_view("c-3")]
    await page.wait_for_selector("#worker-a-1 .badge.idle")
    visit.surface.workers.views = [
        worker_view("a-1", status=WorkerStatus.BUSY, active_runs=4),
        worker_view("b-2"),
        worker_view("c-3"),
    ]
    await page.wait_for_selector("#worker-a-1 .badge.busy")
    assert await page.locator("#worker-a-1 .count").inner_text() == "4 / 10"
    assert await page.locator("tbody .id").all_inner_texts() == ["a-1", "b-2", "c-3"]
    visit.surface.workers.views = [worker_view("c-3")]
    await page.wait_for_selector("#worker-a-1", state="detached")
    assert await page.locator("tbody .id").all_inner_texts() == ["c-3"]
    visit.surface.workers.views = []
    await page.wait_for_selector(".empty")
    assert await page.locator("table").count() == 0


async def test_a_refresh_leaves_what_the_reader_did_as_it_was(visit: Visit) -> None:
    many = WorkerInfo("host", "1", tuple(AgentSpec(f"agent-{index}") for index in range(6)))
    visit.surface.workers.views = [worker_view("b-2", info=many)]
    page = await visit.open()
    await page.click("#worker-b-2 summary")
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#worker-b-2 .id'))")
    visit.surface.workers.views = [worker_view("a-1"), worker_view("b-2", info=many, active_runs=1)]
    await page.wait_for_selector("#worker-a-1")
    assert await page.locator("#worker-b-2 .count").inner_text() == "1 / 10"
    assert await page.locator("#worker-b-2 details").get_attribute("open") is not None
    assert await page.evaluate("getSelection().toString().trim()") == "b-2"
    assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"


async def test_the_page_says_when_nobody_answers_and_comes_back_by_itself(visit: Visit) -> None:
    visit.surface.workers.views = [worker_view("a-1")]
    page = await visit.open()
    await visit.server.stop()
    await page.wait_for_selector('#pulse[data-state="lost"]')
    assert "Out of reach since" in await page.locator("#pulse").inner_text()
    assert await page.locator("#worker-a-1").count() == 1
    visit.server = visit.surface.server(visit.surface.port)
    await visit.server.start()
    await page.wait_for_selector('#pulse[data-state="live"]')
    # The browser itself tells of each request that nobody answered.
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in visit.complaints)
    visit.complaints.clear()


async def test_without_script_the_page_is_whole_and_refreshes(visit: Visit) -> None:
    visit.surface.workers.views = [worker_view("a-1")]
    assert visit.context.browser is not None
    async with await visit.context.browser.new_context(java_script_enabled=False) as context:
        page = await context.new_page()
        await page.goto(visit.surface.url + "/ui/workers")
        assert await page.locator("#worker-a-1").is_visible()
        visit.surface.workers.views.append(worker_view("b-2"))
        await page.wait_for_selector("#worker-b-2", timeout=PATIENCE)


async def test_nothing_reaches_beyond_the_screen(visit: Visit) -> None:
    agent = AgentSpec("a" * 63, "", {}, (ModelBackend("p", "m" * 200),))
    long = WorkerInfo("h" * 250, "v" * 40, (agent,), {"k": "v" * 250})
    visit.surface.workers.views = [worker_view("w" * 57, info=long), worker_view("w-2", status=WorkerStatus.DRAINING)]
    page = await visit.open()
    for width in (320, 390, 800, 1024, 1600):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_every_text_is_legible_on_its_ground(visit: Visit) -> None:
    """WCAG 2.1, 1.4.3: a contrast of at least 4.5."""
    away = WorkerStatus.DISCONNECTED
    statuses = (WorkerStatus.IDLE, WorkerStatus.BUSY, WorkerStatus.DRAINING, WorkerStatus.ERROR, away)
    visit.surface.workers.views = [
        worker_view(f"w-{status.value.lower()}", status=status, heartbeat_age_ms=50_000) for status in statuses
    ]
    page = await visit.open()
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(_FAINT_TEXTS, 4.5) == []
    await page.emulate_media(color_scheme="dark")
    assert await page.evaluate(_FAINT_TEXTS, 4.5) == []
    # The measure itself: no two colours differ by more than 21.
    assert len(await page.evaluate(_FAINT_TEXTS, 22)) > 50


_FAINT_TEXTS = """(least) => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < least) faint.push(`${node.className || node.tagName} ${contrast.toFixed(2)} ${node.textContent}`);
  }
  return faint;
}"""
