from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pytest_bdd import then, when

from taskrun.domain.records import TaskQuery, TaskSpec
from tests.acceptance.cast import GENERAL
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import says

#: What is wrong with a task, and the fields that make it so.
_WRONG: dict[str, dict[str, Any]] = {
    "an input of 1048577 bytes": {"input_json": json.dumps("x" * 1_048_575)},
    "an input that is no JSON": {"input_json": "{'single': quotes}"},
    "an input with NaN": {"input_json": "[NaN]"},
    "an input 65 levels deep": {"input_json": "[" * 65 + "]" * 65},
    "an input with a doubled key": {"input_json": '{"a": 1, "a": 2}'},
    'the agent name "../etc"': {"agent": "../etc"},
    "65 labels": {"labels": {f"key{number}": "" for number in range(65)}},
    "a label of 256 characters": {"labels": {"key": "x" * 256}},
    "a priority of 1001": {"priority": 1001},
    "101 attempts": {"max_attempts": 101},
}


@when(says("somebody tries to create a task with {what}"))
def try_to_create(scene: Scene, what: str) -> None:
    with scene.trying():
        scene.create("impossible", replace(TaskSpec(GENERAL, '""'), **_WRONG[what]))


@then("no task was created")
def nothing_created(scene: Scene) -> None:
    assert scene.tasks == {}
    assert scene.driver.find(TaskQuery()).tasks == ()
