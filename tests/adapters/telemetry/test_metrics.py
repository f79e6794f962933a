from __future__ import annotations

import asyncio
import timeit
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from taskrun.adapters.telemetry.few_labels import MAX_AGENTS
from taskrun.adapters.telemetry.metrics import PrometheusTelemetry
from taskrun.adapters.telemetry.usage_metrics import MAX_MODELS
from taskrun.domain.batch import Backlog
from taskrun.domain.errors import StoreFailed
from taskrun.domain.events import (
    CertificatesAged,
    DomainEvent,
    MessageRefused,
    RunAssigned,
    RunEnded,
    ServerCertificateShown,
    SlotsChanged,
    TaskExpired,
    TaskMoved,
    TaskRefused,
    TaskRequeued,
    TasksHeld,
    WorkerConnected,
    WorkerMoved,
)
from taskrun.domain.now import Now
from taskrun.domain.quotas import AccountName
from taskrun.domain.records import Consumption, Requirement, Task, TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus

NOW_MS = 1_700_000_000_000
TASK = Task("t-1", TaskSpec("general", "{}"), TaskStatus.PENDING, "client:me", NOW_MS)
STATUSES = ("pending", "running", "completed", "failed", "cancelled")


class Bench:
    """Telemetry over a backlog that the test sets."""

    def __init__(self) -> None:
        self.waiting: dict[Requirement, Backlog] = {}
        self.failing = False
        self.telemetry = PrometheusTelemetry(self.backlog, lambda: Now(0.0, NOW_MS))

    async def backlog(self) -> Mapping[Requirement, Backlog]:
        if self.failing:
            raise StoreFailed("The store is away.")
        return self.waiting

    def record(self, *events: DomainEvent) -> None:
        self.telemetry.record(events)

    async def values(self, name: str) -> dict[tuple[str, ...], float]:
        """What the scrape says of one series name, by its label values."""
        families = text_string_to_metric_families((await self.telemetry.render()).decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {tuple(sample.labels.values()): sample.value for sample in samples}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ended(agent: str = "general", status: RunStatus = RunStatus.COMPLETED, ms: int = 700) -> RunEnded:
    failure = FailureKind.AGENT_ERROR if status is RunStatus.FAILED else None
    return RunEnded("t-1", "r-1", "w-1", agent, status, failure, ms)


def consumed(**by_model: Consumption) -> RunEnded:
    return replace(ended(), consumed=by_model)


def story() -> tuple[DomainEvent, ...]:
    """What one task that goes well tells."""
    return (
        TaskMoved(TASK, None, TaskStatus.PENDING),
        RunAssigned("t-1", "r-1", "w-1", Requirement("general"), 3),
        TaskMoved(TASK, TaskStatus.PENDING, TaskStatus.RUNNING),
        ended(),
        TaskMoved(TASK, TaskStatus.RUNNING, TaskStatus.COMPLETED),
    )


async def test_every_event_is_taken_in(bench: Bench) -> None:
    assert set(bench.telemetry._handlers) == set(get_args(DomainEvent))


async def test_every_status_of_a_task_is_there_from_the_start(bench: Bench) -> None:
    assert await bench.values("taskrun_tasks_total") == dict.fromkeys([(status,) for status in STATUSES], 0)


async def test_every_status_of_a_connected_worker_is_there_from_the_start(bench: Bench) -> None:
    statuses = [("idle",), ("busy",), ("draining",), ("error",)]
    assert await bench.values("taskrun_workers_connected") == dict.fromkeys(statuses, 0)


async def test_every_kind_of_failure_is_there_from_the_start(bench: Bench) -> None:
    kinds = [(kind.value,) for kind in FailureKind]
    assert await bench.values("taskrun_run_failures_total") == dict.fromkeys(kinds, 0)


async def test_tasks_are_counted_where_they_are(bench: Bench) -> None:
    bench.record(*story(), TaskMoved(TASK, None, TaskStatus.PENDING))
    tasks = await bench.values("taskrun_tasks_total")
    assert [tasks[(status,)] for status in STATUSES] == [1, 0, 1, 0, 0]


async def test_tasks_is_a_gauge_in_spite_of_its_name(bench: Bench) -> None:
    assert b"# TYPE taskrun_tasks_total gauge" in await bench.telemetry.render()


async def test_that_tasks_are_not_those_of_other_control_planes_stands_with_it(bench: Bench) -> None:
    [help] = [line for line in (await bench.telemetry.render()).splitlines() if b"HELP taskrun_tasks_total" in line]
    assert b"and what it did itself since" in help


@pytest.mark.parametrize("seed_first", [True, False])
async def test_the_tasks_of_an_earlier_life_count_too(bench: Bench, seed_first: bool) -> None:
    counts = {TaskStatus.RUNNING: 2, TaskStatus.COMPLETED: 40}
    if seed_first:
        bench.telemetry.seed(counts)
    bench.record(TaskMoved(TASK, TaskStatus.RUNNING, TaskStatus.PENDING))
    if not seed_first:
        bench.telemetry.seed(counts)
    tasks = await bench.values("taskrun_tasks_total")
    assert [tasks[(status,)] for status in STATUSES] == [1, 1, 40, 0, 0]


async def test_workers_are_counted_by_how_they_stand(bench: Bench) -> None:
    bench.record(
        WorkerMoved("a", None, WorkerStatus.IDLE),
        WorkerMoved("b", None, WorkerStatus.IDLE),
        WorkerMoved("a", WorkerStatus.IDLE, WorkerStatus.BUSY),
    )
    workers = await bench.values("taskrun_workers_connected")
    assert (workers[("idle",)], workers[("busy",)]) == (1, 1)


async def test_a_worker_that_is_away_or_lost_is_not_connected(bench: Bench) -> None:
    bench.record(
        WorkerMoved("a", None, WorkerStatus.IDLE),
        WorkerMoved("a", WorkerStatus.IDLE, WorkerStatus.DISCONNECTED),
        WorkerMoved("a", WorkerStatus.DISCONNECTED, WorkerStatus.LOST),
        WorkerMoved("a", WorkerStatus.LOST, None),
    )
    assert set((await bench.values("taskrun_workers_connected")).values()) == {0}


async def test_only_a_worker_that_comes_back_is_a_reconnect(bench: Bench) -> None:
    bench.record(WorkerConnected("a", again=False), WorkerConnected("a", again=True))
    assert await bench.values("taskrun_worker_reconnects_total") == {(): 1}


async def test_slots_are_taken_or_free(bench: Bench) -> None:
    bench.record(SlotsChanged(3, 7))
    assert await bench.values("taskrun_worker_slots") == {("taken",): 3, ("free",): 7}


async def test_the_wait_for_a_worker_is_measured_in_seconds(bench: Bench) -> None:
    bench.record(RunAssigned("t", "r", "w", Requirement("general"), 1_500))
    assert await bench.values("taskrun_assignment_latency_seconds_sum") == {(): 1.5}
    buckets = await bench.values("taskrun_assignment_latency_seconds_bucket")
    assert (buckets[("1.0",)], buckets[("2.5",)]) == (0, 1)


async def test_runs_are_measured_by_agent_and_outcome(bench: Bench) -> None:
    bench.record(ended(), ended(ms=300), ended("other_agent", RunStatus.FAILED), ended(status=RunStatus.CANCELLED))
    assert await bench.values("taskrun_run_duration_seconds_count") == {
        ("general", "completed"): 2,
        ("general", "cancelled"): 1,
        ("other_agent", "failed"): 1,
    }
    assert (await bench.values("taskrun_run_duration_seconds_sum"))[("general", "completed")] == 1.0


async def test_failures_are_counted_by_kind(bench: Bench) -> None:
    bench.record(ended(status=RunStatus.FAILED), ended())
    failures = await bench.values("taskrun_run_failures_total")
    assert failures[("agent_error",)] == sum(failures.values()) == 1


async def test_requeues_and_refused_messages_are_counted(bench: Bench) -> None:
    bench.record(TaskRequeued(TASK, FailureKind.WORKER_LOST), MessageRefused("w", "r", "output"))
    assert await bench.values("taskrun_requeues_total") == {(): 1}
    assert await bench.values("taskrun_stale_messages_total") == {(): 1}


async def test_certificates_that_nobody_renews_and_the_server_s_own_are_shown(bench: Bench) -> None:
    bench.record(CertificatesAged(3), CertificatesAged(2), ServerCertificateShown(1_700_000_000_500))
    assert await bench.values("taskrun_worker_certificates_aged") == {(): 2}
    assert await bench.values("taskrun_server_certificate_end_timestamp_seconds") == {(): 1_700_000_000.5}


async def test_what_limits_refuse_and_hold_is_counted_by_their_keys(bench: Bench) -> None:
    ann, red = AccountName("client", "ann"), AccountName("label:team", "red")
    bench.record(TaskRefused(ann, "waiting"), TaskRefused(ann, "waiting"), TaskRefused(red, "per_minute"))
    bench.record(TasksHeld({"client": 7, "agent": 1}), TasksHeld({"client": 0, "agent": 1}))
    assert await bench.values("taskrun_tasks_refused_total") == {
        ("client", "waiting"): 2,
        ("label:team", "per_minute"): 1,
    }
    assert await bench.values("taskrun_tasks_held") == {("client",): 0, ("agent",): 1}


async def test_tasks_that_waited_too_long_are_counted(bench: Bench) -> None:
    bench.record(TaskExpired(TASK, 5000), TaskExpired(TASK, 5000))
    assert await bench.values("taskrun_tasks_expired_total") == {(): 2}


async def test_the_queue_is_shown_by_agent_with_its_oldest(bench: Bench) -> None:
    bench.waiting = {
        Requirement("general"): Backlog(3, NOW_MS - 2_000),
        Requirement("general", (("gpu", "a100"),)): Backlog(2, NOW_MS - 9_500),
        Requirement("triage"): Backlog(1, NOW_MS - 1_000),
    }
    assert await bench.values("taskrun_queue_depth") == {("general",): 5, ("triage",): 1}
    assert await bench.values("taskrun_queue_oldest_age_seconds") == {("general",): 9.5, ("triage",): 1}


async def test_a_queue_that_was_emptied_shows_zero(bench: Bench) -> None:
    bench.record(RunAssigned("t", "r", "w", Requirement("general"), 0))
    bench.waiting = {Requirement("general"): Backlog(3, NOW_MS - 2_000)}
    await bench.telemetry.render()
    bench.waiting = {}
    assert await bench.values("taskrun_queue_depth") == {("general",): 0}
    assert await bench.values("taskrun_queue_oldest_age_seconds") == {("general",): 0}


async def test_a_clock_that_was_set_back_makes_no_negative_age(bench: Bench) -> None:
    bench.waiting = {Requirement("general"): Backlog(1, NOW_MS + 5_000)}
    assert await bench.values("taskrun_queue_oldest_age_seconds") == {("general",): 0}


async def test_while_the_store_is_away_the_rest_is_served(bench: Bench) -> None:
    bench.record(*story())
    bench.failing = True
    assert await bench.values("taskrun_queue_depth") == {}
    assert (await bench.values("taskrun_tasks_total"))[("completed",)] == 1


async def test_the_number_of_series_is_bounded_whatever_agents_there_are(bench: Bench) -> None:
    names = [f"agent-{index}" for index in range(MAX_AGENTS + 100)]
    bench.record(*(ended(name) for name in names))
    bench.waiting = {Requirement(name): Backlog(1, NOW_MS) for name in names}
    runs = await bench.values("taskrun_run_duration_seconds_count")
    depth = await bench.values("taskrun_queue_depth")
    assert len(runs) == len(depth) == MAX_AGENTS + 1
    assert runs[("other", "completed")] == depth[("other",)] == 100


async def test_waiting_tasks_of_agents_that_nobody_offers_take_no_name_from_those_that_run(bench: Bench) -> None:
    bench.waiting = {Requirement(f"misspelt-{index}"): Backlog(1, NOW_MS) for index in range(MAX_AGENTS)}
    assert len(await bench.values("taskrun_queue_depth")) == MAX_AGENTS
    bench.record(*story())
    assert ("general", "completed") in await bench.values("taskrun_run_duration_seconds_count")
    depth = await bench.values("taskrun_queue_depth")
    assert (depth[("general",)], depth[("other",)], len(depth)) == (0, 1, MAX_AGENTS + 1)


async def test_the_name_of_an_agent_that_never_ran_goes_with_its_tasks(bench: Bench) -> None:
    bench.waiting = {Requirement("misspelt"): Backlog(1, NOW_MS)}
    assert await bench.values("taskrun_queue_depth") == {("misspelt",): 1}
    bench.waiting = {}
    assert await bench.values("taskrun_queue_depth") == {}


async def test_build_info_names_the_version(bench: Bench) -> None:
    assert list((await bench.values("taskrun_build_info")).values()) == [1]


async def test_no_series_tells_when_it_was_made(bench: Bench) -> None:
    assert b"_created" not in await bench.telemetry.render()


async def test_two_control_planes_in_one_process_do_not_mix(bench: Bench) -> None:
    bench.record(*story())
    assert (await Bench().values("taskrun_tasks_total"))[("completed",)] == 0


async def test_what_is_recorded_during_a_scrape_breaks_neither(bench: Bench) -> None:
    scrapes = [asyncio.create_task(bench.telemetry.render()) for _ in range(5)]
    index = 0
    while not all(scrape.done() for scrape in scrapes):
        index += 1
        bench.record(ended(f"agent-{index}"))
        await asyncio.sleep(0)
    for scrape in scrapes:
        assert list(text_string_to_metric_families(scrape.result().decode()))


def test_a_whole_task_costs_no_more_than_a_few_dozen_counts(bench: Bench) -> None:
    """Against a bare counter, beside it and in short pieces: neither a slow machine nor a busy one says anything."""
    counter, events = Counter("bare", "One count.", registry=CollectorRegistry()), story()
    bare = min(timeit.repeat(counter.inc, number=100, repeat=200))
    whole = min(timeit.repeat(lambda: bench.telemetry.record(events), number=100, repeat=200))
    assert whole < 40 * bare


async def test_tokens_and_dollars_are_counted_by_model(bench: Bench) -> None:
    bench.record(consumed(opus=Consumption(100, 20, 3, 4, 0.5), haiku=Consumption(7)), consumed(opus=Consumption(1)))
    tokens = await bench.values("taskrun_tokens_total")
    assert {kind: tokens[(kind, "opus")] for kind in ("input", "output", "cache_read", "cache_write")} == {
        "input": 101,
        "output": 20,
        "cache_read": 3,
        "cache_write": 4,
    }
    assert (tokens[("input", "haiku")], tokens[("output", "haiku")]) == (7, 0)


async def test_a_cost_that_nobody_knows_has_no_series_and_one_of_nothing_has(bench: Bench) -> None:
    free, unknown = Consumption(1, cost_usd=0), Consumption(1)
    bench.record(consumed(opus=Consumption(100, cost_usd=0.5), own=free, other=unknown), consumed(opus=unknown))
    assert await bench.values("taskrun_cost_usd_total") == {("opus",): 0.5, ("own",): 0}


async def test_ten_thousand_models_make_no_more_series_than_a_few(bench: Bench) -> None:
    for number in range(10_000):
        bench.record(consumed(**{f"m{number}": Consumption(1)}))
    tokens = await bench.values("taskrun_tokens_total")
    assert len(tokens) == 4 * (MAX_MODELS + 1)
    assert tokens[("input", "other")] == 10_000 - MAX_MODELS


async def test_a_model_s_name_is_a_label_value_whatever_is_in_it(bench: Bench) -> None:
    name = 'a"b\\n\n{}=ü'
    bench.record(consumed(**{name: Consumption(1)}))
    assert (await bench.values("taskrun_tokens_total"))[("input", name)] == 1


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
async def test_what_is_no_amount_is_not_counted(bench: Bench, amount: float) -> None:
    bench.record(consumed(opus=Consumption(1, cost_usd=amount)))
    assert await bench.values("taskrun_cost_usd_total") == {}
    assert (await bench.values("taskrun_tokens_total"))[("input", "opus")] == 1
