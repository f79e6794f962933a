from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import given, then, when

from taskrun.domain.errors import FailedPrecondition, NotFound, PermissionDenied
from taskrun.domain.records import TaskSpec
from tests.acceptance.cast import BUILDER
from tests.acceptance.driver import Caller
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import rows, says

_NOBODY = "00000000-0000-7000-8000-000000000000"

#: What somebody may try, with the id of the task that was spoken of last.
_DEEDS: dict[str, Callable[[Caller, str], object]] = {
    "see the task": lambda caller, task_id: caller.get(task_id),
    "create a task": lambda caller, _: caller.create(TaskSpec(BUILDER, '"another"')),
    "continue the task": lambda caller, task_id: caller.continue_task(task_id, "more"),
    "cancel the task": lambda caller, task_id: caller.cancel(task_id),
    "let a worker in": lambda caller, _: caller.create_token("atlas"),
    "list certificates": lambda caller, _: caller.certificates(),
    "revoke a worker": lambda caller, _: caller.revoke_worker("nobody-here"),
}


def _do(scene: Scene, name: str, what: str) -> None:
    _DEEDS[what](scene.callers[name], scene.tasks.get(scene.title, _NOBODY))


def _may(scene: Scene, name: str, what: str) -> str:
    try:
        _do(scene, name, what)
    except PermissionDenied:
        return "no"
    except (FailedPrecondition, NotFound):
        # It may, but there is nothing to be done.
        pass
    return "yes"


@given(says("the client {name:text} with the role {role:text}"))
def client(scene: Scene, name: str, role: str) -> None:
    scene.callers[name] = scene.driver.client(name, role)


@when(says("the client {name:text} is revoked"))
def revoke(scene: Scene, name: str) -> None:
    # Certificates tell whole seconds: what was issued in the very second of a revocation is not meant by it.
    scene.driver.pass_time(1)
    scene.driver.revoke_client(name)


@when(says("{name:text} tries to {what}"))
def tries(scene: Scene, name: str, what: str) -> None:
    with scene.trying():
        _do(scene, name, what)


@when(says("{name:text} creates the task {title:text} for {agent:text}"))
def creates(scene: Scene, name: str, title: str, agent: str) -> None:
    task = scene.callers[name].create(TaskSpec(agent, f'"{title}"'))
    scene.tasks[title], scene.title = task.id, title


@then("of these they may")
def they_may(scene: Scene, datatable: list[list[str]]) -> None:
    for row in rows(datatable):
        what = row.pop("what")
        assert {name: _may(scene, name, what) for name in row} == row, what


@then(says("the task {title:text} was created by {name:text}"))
def created_by(scene: Scene, title: str, name: str) -> None:
    assert scene.task(title).created_by == name
