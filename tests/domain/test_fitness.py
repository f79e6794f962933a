from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.fitness import WorkerFit, fit_of
from taskrun.domain.records import AgentSpec, Requirement, WorkerInfo, WorkerView
from taskrun.domain.status import WorkerStatus

READY = WorkerView(
    "atlas", WorkerInfo(agents=(AgentSpec("coder"),), labels={"gpu": "t4"}), WorkerStatus.IDLE, 1, 4, 0, 0
)
CODER = Requirement("coder")


@pytest.mark.parametrize("status", [WorkerStatus.IDLE, WorkerStatus.BUSY])
def test_a_worker_that_offers_the_agent_has_the_labels_and_a_free_slot_lacks_nothing(status: WorkerStatus) -> None:
    needs = Requirement("coder", (("gpu", "t4"), ("taskrun.worker", "atlas")))
    assert fit_of(needs, replace(READY, status=status)) == WorkerFit("atlas")


@pytest.mark.parametrize(
    ("needs", "lack"),
    [
        (Requirement("writer"), "does not offer the agent writer"),
        (Requirement("coder", (("gpu", "a100"),)), "lacks the label gpu=a100 (it has gpu=t4)"),
        (Requirement("coder", (("zone", "north"),)), "lacks the label zone=north"),
        (Requirement("coder", (("taskrun.worker", "bruno"),)), "is not the worker bruno"),
    ],
)
def test_who_lacks_what_the_task_asks_for_does_not_fit(needs: Requirement, lack: str) -> None:
    assert fit_of(needs, READY) == WorkerFit("atlas", (lack,), fits=False)


@pytest.mark.parametrize(
    ("worker", "lack"),
    [
        (replace(READY, status=WorkerStatus.DRAINING), "is DRAINING"),
        (replace(READY, status=WorkerStatus.ERROR), "is ERROR"),
        (replace(READY, status=WorkerStatus.DISCONNECTED), "is DISCONNECTED"),
        (replace(READY, active_runs=4), "has no free slot: 4 of 4 runs"),
        (replace(READY, active_runs=3, max_concurrent_runs=2), "has no free slot: 3 of 2 runs"),
        (replace(READY, withheld="turned a run away"), "turned a run away"),
    ],
)
def test_who_lacks_only_what_passes_fits_all_the_same(worker: WorkerView, lack: str) -> None:
    assert fit_of(CODER, worker) == WorkerFit("atlas", (lack,))


def test_all_that_a_worker_lacks_is_said_and_what_does_not_pass_is_said_first() -> None:
    needs = Requirement("writer", (("gpu", "a100"), ("zone", "north")))
    worker = replace(READY, status=WorkerStatus.DRAINING, active_runs=4)
    assert fit_of(needs, worker).lacks == (
        "does not offer the agent writer",
        "lacks the label gpu=a100 (it has gpu=t4)",
        "lacks the label zone=north",
        "is DRAINING",
        "has no free slot: 4 of 4 runs",
    )


def test_of_a_worker_that_is_awaited_only_that_is_said_which_is_known() -> None:
    awaited = WorkerView("atlas", WorkerInfo(), WorkerStatus.DISCONNECTED, 1, 0, 0, 0)
    assert fit_of(Requirement("coder", (("gpu", "a100"),)), awaited) == WorkerFit("atlas", ("is DISCONNECTED",))
    elsewhere = Requirement("coder", (("taskrun.worker", "bruno"),))
    assert fit_of(elsewhere, awaited) == WorkerFit("atlas", ("is not the worker bruno", "is DISCONNECTED"), fits=False)


def test_those_that_fit_are_nearer_than_all_that_do_not_and_then_those_that_lack_less() -> None:
    far, busy, ready = WorkerFit("a", ("1",), fits=False), WorkerFit("b", ("1", "2")), WorkerFit("d", ("1",))
    assert sorted([far, busy, ready, WorkerFit("c", ("1",))], key=lambda fit: fit.distance) == [
        WorkerFit("c", ("1",)),
        ready,
        busy,
        far,
    ]
