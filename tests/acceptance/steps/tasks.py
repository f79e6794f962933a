from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pytest_bdd import step, when

from taskrun.domain.records import TaskSpec
from taskrun.domain.status import FailureKind, RunStatus
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import labels, rows, says

Wishes = dict[str, str]


def _ms(text: str) -> int:
    return int(text.removesuffix(" seconds")) * 1000


#: What a table may say of a task, as fields of its spec.
_WISHES: dict[str, Callable[[str], Any]] = {
    "priority": int,
    "max_attempts": int,
    "idempotency_key": str,
    "labels": labels,
    "worker_selector": lambda text: tuple(sorted(labels(text).items())),
    "retry_on": lambda text: frozenset({FailureKind(text)}),
    "timeout": _ms,
    "silence_timeout": _ms,
    "queue_timeout": _ms,
}
_FIELDS = {
    "worker_selector": "selector",
    "timeout": "timeout_ms",
    "silence_timeout": "silence_timeout_ms",
    "queue_timeout": "queue_timeout_ms",
}


def _spec(title: str, agent: str, wishes: Wishes | None = None) -> TaskSpec:
    fields = {_FIELDS.get(name, name): _WISHES[name](text) for name, text in (wishes or {}).items()}
    return TaskSpec(agent, json.dumps(title), **fields)


def wait_until_running(scene: Scene, title: str, seconds: float = 0) -> str:
    """Returns the id of the worker that runs the task."""

    def check() -> str:
        task = scene.task(title)
        assert task.runs, f"{title} waits."
        assert task.runs[-1].status is RunStatus.RUNNING
        return task.runs[-1].worker_id

    return scene.eventually(check, seconds)


@step(says("the task {title:text} for {agent:text} is created"))
def created(scene: Scene, title: str, agent: str) -> None:
    scene.create(title, _spec(title, agent))


@step(says("the task {title:text} for {agent:text} is created with"))
def created_with(scene: Scene, title: str, agent: str, datatable: list[list[str]]) -> None:
    scene.create(title, _spec(title, agent, dict(datatable)))


@step(says("somebody tries to create the task {title:text} for {agent:text} with"))
def try_to_create(scene: Scene, title: str, agent: str, datatable: list[list[str]]) -> None:
    with scene.trying():
        created_with(scene, title, agent, datatable)


@step("the same is asked again")
def repeated(scene: Scene) -> None:
    assert scene.spec is not None
    scene.create(scene.title, scene.spec)


@step("these tasks are created")
def all_created(scene: Scene, datatable: list[list[str]]) -> None:
    for row in rows(datatable):
        title, agent = row.pop("task"), row.pop("agent")
        scene.create(title, _spec(title, agent, row))


@step(says("these tasks for {agent:text} are created"))
def all_created_for(scene: Scene, agent: str, datatable: list[list[str]]) -> None:
    for row in rows(datatable):
        title = row.pop("task")
        scene.create(title, _spec(title, agent, row))


@step(says("a task for {agent:text} with an input of {size:number} bytes is created"))
def created_with_size(scene: Scene, agent: str, size: int) -> None:
    scene.create("large", TaskSpec(agent, json.dumps("x" * (size - 2))))


@step(says("the task {title:text} for {agent:text} is running"))
def running(scene: Scene, title: str, agent: str) -> None:
    created(scene, title, agent)
    wait_until_running(scene, title)


@step(says("{count:number} tasks for {agent:text} are running"))
def many_running(scene: Scene, count: int, agent: str) -> None:
    titles = [f"task {number}" for number in range(1, count + 1)]
    for title in titles:
        created(scene, title, agent)
    for title in titles:
        wait_until_running(scene, title)


@step(says("the task {title:text} for {agent:text} is in the middle of its work"))
def in_the_middle(scene: Scene, title: str, agent: str) -> None:
    created(scene, title, agent)

    def check() -> None:
        assert scene.driver.is_waiting(title)

    scene.eventually(check)


@step(says("the work on {title:text} is finished"))
def finished(scene: Scene, title: str) -> None:
    scene.driver.finish(title)


@step("all work is finished")
def all_finished(scene: Scene) -> None:
    for title in scene.tasks:
        scene.driver.finish(title)


@when(says("the task {title:text} is cancelled"))
def cancelled(scene: Scene, title: str) -> None:
    scene.title = title
    scene.answers.append(scene.driver.cancel(scene.tasks[title]))


@when(says("somebody tries to cancel {title:text}"))
def try_to_cancel(scene: Scene, title: str) -> None:
    with scene.trying():
        cancelled(scene, title)


@when("somebody tries to cancel a task that does not exist")
def try_to_cancel_nothing(scene: Scene) -> None:
    with scene.trying():
        scene.driver.cancel("00000000-0000-7000-8000-000000000000")
