from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from taskrun.adapters.grpc.codec_workers import decode_info
from taskrun.adapters.http.worker_page import MAX_ROWS
from taskrun.domain.records import AgentSpec, ModelBackend, WorkerInfo
from taskrun.domain.status import WorkerStatus
from taskrun.v1 import common_pb2
from tests.adapters.http.conftest import Surface, worker_view
from tests.filled import filled

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&"


def hostile() -> WorkerInfo:
    backend = ModelBackend(f"p{MARKUP}", f"m{MARKUP}")
    agent = AgentSpec(f"a{MARKUP}", f"d{MARKUP}", {}, (backend,))
    return WorkerInfo(f"h{MARKUP}", f"v{MARKUP}", (agent,) * 6, {f"k{MARKUP}": f"l{MARKUP}"})


@pytest.mark.parametrize("path", ["/ui/workers", "/ui/workers/live"])
async def test_markup_in_every_text_of_a_worker_is_escaped(surface: Surface, path: str) -> None:
    surface.workers.views = [worker_view(f"w{MARKUP}", info=hostile())]
    page = (await surface.get(path)).text
    assert "alert(1)" in page
    assert "<script>" not in page
    assert "<img src=x" not in page
    for first in "wphadvmkl":
        assert f"{first}&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&gt;&lt;img" in page


class Shape(HTMLParser):
    """The tags of a page, each with the names of its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attributes]))


@pytest.mark.parametrize("path", ["/ui/workers", "/ui/workers/live"])
async def test_markup_in_every_text_field_of_the_wire_stays_text(surface: Surface, path: str) -> None:
    """Whatever fields a worker will have: the wire's message says which there are."""
    pages = []
    for ending in ("", MARKUP):
        info = decode_info(filled(common_pb2.WorkerInfo, lambda name, ending=ending: f"{name}{ending}"))  # type: ignore[misc]
        surface.workers.views = [worker_view(f"id{ending}", info=info)]
        pages.append((await surface.get(path)).text)
    plain, hostile = pages
    assert hostile.count("alert(1)") > 4
    assert Shape(hostile).tags == Shape(plain).tags


async def test_markup_in_json_is_no_page(surface: Surface) -> None:
    surface.workers.views = [worker_view(info=decode_info(filled(common_pb2.WorkerInfo, lambda name: MARKUP)))]
    answer = await surface.get("/v1/workers")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/ui/workers", "/ui/workers/live"])
async def test_a_worker_is_shown_with_all_that_is_known(surface: Surface, path: str) -> None:
    surface.workers.views = [worker_view("gpu-7", status=WorkerStatus.BUSY, active_runs=3)]
    answer = await surface.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())
    for known in ("gpu-7", "host-1", "BUSY", "3 / 10", "4 s", "general", "claude-sonnet-4-5", "zone fra", "0.1.0"):
        assert known in text


async def test_a_provider_is_no_model(surface: Surface) -> None:
    default = ModelBackend("anthropic", metadata={"model": "Claude Code's default"})
    agents = (AgentSpec("general", backends=(default,)), AgentSpec("other", backends=(ModelBackend("anthropic"),)))
    surface.workers.views = [worker_view(info=WorkerInfo("host", "1", agents, {}))]
    page = (await surface.get("/ui/workers/live")).text
    assert ">anthropic" not in page
    assert "Claude Code&#39;s default</span>" in page
    assert "a model that it does not name</span>" in page
    [worker] = (await surface.get("/v1/workers")).json()["workers"]
    [backend] = worker["agents"][0]["backends"]
    assert (backend["model_name"], backend["metadata"]) == ("", {"model": "Claude Code's default"})


async def test_the_page_holds_no_inline_script_or_style_and_loads_nothing_from_elsewhere(surface: Surface) -> None:
    surface.workers.views = [worker_view()]
    page = (await surface.get("/ui/workers")).text
    assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", page)
    assert "//" not in page.replace("<!doctype html>", "")


async def test_without_workers_the_page_says_what_to_do(surface: Surface) -> None:
    page = (await surface.get("/ui/workers")).text
    assert "taskrun create-token" in page
    assert f"TASKRUN_TOKEN=<var>TOKEN</var> taskrun-worker --enroll {surface.url}</code>" in page


async def test_without_script_the_page_refreshes_all_the_same(surface: Surface) -> None:
    page = (await surface.get("/ui/workers")).text
    assert '<noscript><meta http-equiv="refresh"' in page


async def test_of_very_many_workers_the_rest_is_counted(surface: Surface) -> None:
    surface.workers.views = [worker_view(f"w-{index}") for index in range(MAX_ROWS + 20)]
    page = (await surface.get("/ui/workers/live")).text
    assert page.count("<tr id=") == MAX_ROWS
    assert "20 more are not shown here" in page
