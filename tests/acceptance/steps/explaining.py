from __future__ import annotations

from pytest_bdd import then

from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import rows, says


@then(says("the task {title:text} waits because {reason:text}"))
def waits_because(scene: Scene, title: str, reason: str) -> None:
    scene.title = title

    def check() -> None:
        assert scene.driver.explain(scene.tasks[title]).summary == reason

    scene.eventually(check)


@then(says("{count:number} tasks that need the same go before it"))
def has_place(scene: Scene, count: int) -> None:
    ahead = scene.driver.explain(scene.tasks[scene.title]).ahead
    assert ahead is not None
    assert ahead.tasks == count


@then("to take it the workers lack")
def workers_lack(scene: Scene, datatable: list[list[str]]) -> None:
    told = scene.driver.explain(scene.tasks[scene.title])
    lacking = [{"worker": fit.worker_id, "lacks": "; ".join(fit.lacks)} for fit in told.workers]
    assert lacking == rows(datatable)
