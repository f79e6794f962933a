from __future__ import annotations

from unittest.mock import ANY

import pytest

from taskrun.domain.status import WorkerStatus
from tests.adapters.http.conftest import NOW_MS, Surface, worker_view

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_control_plane_that_takes_in_work_is_healthy(surface: Surface) -> None:
    answer = await surface.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("draining", "status"), [(False, "starting"), (True, "draining")])
async def test_a_control_plane_that_takes_in_nothing_says_whether_it_will(
    surface: Surface, draining: bool, status: str
) -> None:
    surface.ready, surface.draining = False, draining
    answer = await surface.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": status})


async def test_metrics_are_served_in_prometheus_text_format(surface: Surface) -> None:
    answer = await surface.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text == "taskrun_tasks_total 1\n"


async def test_a_worker_is_listed_with_the_fields_of_the_wire(surface: Surface) -> None:
    surface.workers.views = [worker_view(status=WorkerStatus.BUSY, active_runs=3)]
    answer = await surface.get("/v1/workers")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["workers"] == [
        {
            "worker_id": "w-1",
            "hostname": "host-1",
            "version": "0.1.0",
            "status": "BUSY",
            "agents": [{"name": "general", "description": "Answers", "labels": {}, "backends": [ANY]}],
            "labels": {"zone": "fra"},
            "active_runs": 3,
            "max_concurrent_runs": 10,
            "connected_at_ms": NOW_MS - 60_000,
            "last_heartbeat_ms": NOW_MS - 4_000,
            "heartbeat_age_ms": 4_000,
        }
    ]


async def test_a_models_fields_are_those_of_the_wire(surface: Surface) -> None:
    surface.workers.views = [worker_view()]
    [worker] = (await surface.get("/v1/workers")).json()["workers"]
    assert worker["agents"][0]["backends"] == [
        {
            "provider": "anthropic",
            "model_name": "claude-sonnet-4-5",
            "context_window": 200_000,
            "supports_streaming": True,
            "modalities": ["text"],
            "tools": ["Bash"],
            "metadata": {"tier": "2"},
        }
    ]


async def test_before_the_first_heartbeat_its_age_is_unknown(surface: Surface) -> None:
    surface.workers.views = [worker_view(heartbeat_age_ms=None)]
    [worker] = (await surface.get("/v1/workers")).json()["workers"]
    assert (worker["last_heartbeat_ms"], worker["heartbeat_age_ms"]) == (0, None)


async def test_a_clock_that_was_set_back_makes_no_negative_age(surface: Surface) -> None:
    surface.workers.views = [worker_view(heartbeat_age_ms=-5_000)]
    [worker] = (await surface.get("/v1/workers")).json()["workers"]
    assert worker["heartbeat_age_ms"] == 0


async def test_workers_are_filtered_by_agent_and_status(surface: Surface) -> None:
    await surface.get("/v1/workers?agent=general&status=BUSY")
    assert surface.workers.asked == [("general", WorkerStatus.BUSY)]


@pytest.mark.parametrize("query", ["status=busy", "status=LAZY", "colour=red"])
async def test_an_unknown_filter_is_refused(surface: Surface, query: str) -> None:
    answer = await surface.get(f"/v1/workers?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")


async def test_the_root_leads_to_the_page(surface: Surface) -> None:
    answer = await surface.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/ui/workers")


@pytest.mark.parametrize("path", ["/nothing", "/health/", "/v1/workers/w-1", "/ui", "/ui/assets/", "/docs"])
async def test_an_unknown_path_is_not_found(surface: Surface, path: str) -> None:
    answer = await surface.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": {"code": "NOT_FOUND", "message": "Not Found"}})


async def test_a_wrong_method_is_refused_and_the_right_one_named(surface: Surface) -> None:
    answer = await surface.get("/v1/enroll")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


async def test_a_bug_of_ours_shows_no_traceback_and_no_path(surface: Surface) -> None:
    surface.workers.broken = True
    answer = await surface.get("/v1/workers")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL")
    assert "secret" not in answer.text
    assert "Error" not in answer.text


async def test_after_a_bug_of_ours_the_server_serves_on(surface: Surface) -> None:
    surface.workers.broken = True
    await surface.get("/v1/workers")
    surface.workers.broken = False
    assert (await surface.get("/v1/workers")).status_code == 200
