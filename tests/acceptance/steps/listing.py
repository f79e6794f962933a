from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pytest_bdd import then, when

from taskrun.domain.records import TaskPage, TaskQuery
from taskrun.domain.status import TaskStatus
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import says

_FILTERS: dict[str, Callable[[str], Any]] = {"status": TaskStatus, "agent": str}


def _query(filters: str) -> TaskQuery:
    pairs = dict(re.findall(r"\b(status|agent)=(\S+)", filters))
    labels = dict(re.findall(r"\blabel=([^=\s]+)=(\S+)", filters))
    return TaskQuery(labels=labels, **{name: _FILTERS[name](value) for name, value in pairs.items()})


def _titles(scene: Scene, page: TaskPage) -> str:
    return ", ".join(scene.title_of(task) for task in page.tasks)


@then(says("the list of tasks is {titles:text}"))
def listed(scene: Scene, titles: str) -> None:
    assert _titles(scene, scene.driver.find(TaskQuery())) == titles


@then(says("the list of tasks with {filters} is {titles:text}"))
def listed_with(scene: Scene, filters: str, titles: str) -> None:
    assert _titles(scene, scene.driver.find(_query(filters))) == titles


@when(says("somebody lists {limit:number} tasks"))
def list_some(scene: Scene, limit: int) -> None:
    scene.page = scene.driver.find(TaskQuery(limit=limit))


@when("somebody lists the next page")
def list_next(scene: Scene) -> None:
    assert scene.page is not None
    scene.page = scene.driver.find(TaskQuery(limit=3, page_token=scene.page.next_page_token))


@when(says("somebody tries to list the page after {token:text}"))
def list_nonsense(scene: Scene, token: str) -> None:
    with scene.trying():
        scene.driver.find(TaskQuery(page_token=token))


@then(says("the page is {titles:text}"))
def page_is(scene: Scene, titles: str) -> None:
    assert scene.page is not None
    assert _titles(scene, scene.page) == titles


@then("it is the last page")
def last_page(scene: Scene) -> None:
    assert scene.page is not None
    assert scene.page.next_page_token == ""
