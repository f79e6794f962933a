from __future__ import annotations

from pytest_bdd import step, then, when

from taskrun.domain.history import said_in
from tests.acceptance.steps.outcomes import story
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.tasks import in_the_middle
from tests.acceptance.steps.words import says


@step(says("the task {title:text} for {agent:text} is in the middle of a conversation"))
def in_conversation(scene: Scene, title: str, agent: str) -> None:
    in_the_middle(scene, title, agent)

    def check() -> None:
        assert scene.task(title).runs[-1].session_id

    scene.eventually(check)


@when(says("{message:text} is said to the agent of {title:text}"))
def said(scene: Scene, message: str, title: str) -> None:
    scene.say_more(message, title)


@when(says("{message:text} is said to a copy of the agent of {title:text}"))
def said_to_copy(scene: Scene, message: str, title: str) -> None:
    scene.say_more(message, title, fork=True)


@when(says("somebody tries to say {message:text} to the agent of {title:text}"))
def try_to_say(scene: Scene, message: str, title: str) -> None:
    with scene.trying():
        scene.say_more(message, title)


@then(says("it goes on with {title:text}, on the same worker"))
def goes_on(scene: Scene, title: str) -> None:
    task, before = scene.task(), scene.driver.get(scene.tasks[title])
    assert task.spec.continues is not None
    assert (task.spec.continues.task_id, task.runs[-1].worker_id) == (before.id, before.runs[-1].worker_id)


@then(says("the answer will be in {title:text}"))
def answer_in(scene: Scene, title: str) -> None:
    assert scene.answers[-1].id == scene.tasks[title]


@then("in it was said")
def told(scene: Scene, datatable: list[list[str]]) -> None:
    said = said_in(scene.task(), story(scene).entries)
    assert [[each.role.value, each.content] for each in said] == datatable
