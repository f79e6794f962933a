from __future__ import annotations

from pytest_bdd import given, step, then, when

from taskrun.domain.records import WorkerView
from taskrun.domain.status import WorkerStatus
from tests.acceptance.driver import WorkerSetup
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import rows, says

# Coming and going.


@given(says("the worker {worker:text} with the {setup:setup}"))
@step(says("the worker {worker:text} starts with the {setup:setup}"))
@step(says("the worker {worker:text} starts again with the {setup:setup}"))
def start(scene: Scene, worker: str, setup: WorkerSetup) -> None:
    scene.worker_id = worker
    scene.driver.start_worker(worker, setup)


@when(says("the worker {worker:text} dies"))
def die(scene: Scene, worker: str) -> None:
    scene.driver.kill_worker(worker)


@when(says("the worker {worker:text} is lost"))
def lose(scene: Scene, worker: str) -> None:
    scene.driver.kill_worker(worker)
    gone_within(scene, 121, worker)


@when(says("the worker {worker:text} is revoked"))
def revoke(scene: Scene, worker: str) -> None:
    scene.driver.revoke_worker(worker)


@when(says("the connection of the worker {worker:text} breaks"))
def cut(scene: Scene, worker: str) -> None:
    scene.driver.cut_worker(worker)


@step(says("the worker {worker:text} freezes"))
def freeze(scene: Scene, worker: str) -> None:
    scene.driver.freeze_worker(worker)


@when(says("the worker {worker:text} wakes up"))
def wake_up(scene: Scene, worker: str) -> None:
    scene.driver.thaw_worker(worker)


@when(says("the worker {worker:text} is asked to drain"))
def drain(scene: Scene, worker: str) -> None:
    scene.driver.drain_worker(worker)


# How they are listed.


def _view(scene: Scene, worker_id: str = "") -> WorkerView:
    scene.worker_id = worker_id or scene.worker_id
    found = [view for view in scene.driver.workers() if view.id == scene.worker_id]
    assert found, f"The worker {scene.worker_id} is not listed."
    return found[0]


@then(says("the worker {worker:text} is listed as {status:worker_status}"))
def listed_as(scene: Scene, worker: str, status: WorkerStatus) -> None:
    listed_within(scene, 0, worker, status)


@then(says("within {seconds:number} seconds the worker {worker:text} is listed as {status:worker_status}"))
def listed_within(scene: Scene, seconds: int, worker: str, status: WorkerStatus) -> None:
    def check() -> None:
        assert _view(scene, worker).status is status

    scene.eventually(check, seconds)


@then(says("within {seconds:number} seconds the worker {worker:text} is gone"))
def gone_within(scene: Scene, seconds: int, worker: str) -> None:
    def check() -> None:
        assert worker not in [view.id for view in scene.driver.workers()]

    scene.eventually(check, seconds)


@then("it offers the agents")
def offers(scene: Scene, datatable: list[list[str]]) -> None:
    offered = [
        {"agent": agent.name, "provider": backend.provider, "model": backend.model_name}
        for agent in _view(scene).info.agents
        for backend in agent.backends
    ]
    # A packaged worker has its built-in agents besides.
    assert [agent for agent in rows(datatable) if agent not in offered] == []


@then(says("it has the labels {labels:labels}"))
def has_labels(scene: Scene, labels: dict[str, str]) -> None:
    # A packaged worker has labels of its own besides.
    assert _view(scene).info.labels.items() >= labels.items()


@then(says("the worker {worker:text} has {active:number} of {slots:number} runs"))
def has_runs(scene: Scene, worker: str, active: int, slots: int) -> None:
    view = _view(scene, worker)
    assert (view.active_runs, view.max_concurrent_runs) == (active, slots)


@then(says("it has {active:number} of {slots:number} runs"))
def it_has_runs(scene: Scene, active: int, slots: int) -> None:
    has_runs(scene, scene.worker_id, active, slots)


@then(says("the workers with the agent {agent:text} are {workers:names}"))
def workers_with_agent(scene: Scene, agent: str, workers: list[str]) -> None:
    assert [view.id for view in scene.driver.workers(agent=agent)] == workers


@then(says("the idle workers are {workers:names}"))
def idle_workers(scene: Scene, workers: list[str]) -> None:
    assert [view.id for view in scene.driver.workers(status=WorkerStatus.IDLE)] == workers
