from __future__ import annotations

import json
from operator import attrgetter

from pytest_bdd import step, then

from taskrun.domain.records import Run, TaskChange
from taskrun.domain.status import FailureKind, TaskStatus
from tests.acceptance.steps.reader import Reader
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.tasks import wait_until_running
from tests.acceptance.steps.words import rows, says

# The task.


@step(says("the task {title:text} is {status:task_status}"))
def has_status(scene: Scene, title: str, status: TaskStatus) -> None:
    has_status_within(scene, 0, title, status)


@then(says("within {seconds:number} seconds the task {title:text} is {status:task_status}"))
def has_status_within(scene: Scene, seconds: int, title: str, status: TaskStatus) -> None:
    def check() -> None:
        task = scene.task(title)
        assert task.status is status, [(run.worker_id, run.status, run.failure, run.error) for run in task.runs]

    scene.eventually(check, seconds)


@then(says("it is {status:task_status}"))
def it_has_status(scene: Scene, status: TaskStatus) -> None:
    has_status(scene, scene.title, status)


@step(says("the task {title:text} is running on {worker:text}"))
def runs_on(scene: Scene, title: str, worker: str) -> None:
    runs_on_within(scene, 0, title, worker)


@then(says("within {seconds:number} seconds the task {title:text} is running on {worker:text}"))
def runs_on_within(scene: Scene, seconds: int, title: str, worker: str) -> None:
    def check() -> None:
        assert wait_until_running(scene, title) == worker

    scene.eventually(check, seconds)


@then(says("the tasks were started in the order {titles:names}"))
def started_in_order(scene: Scene, titles: list[str]) -> None:
    for title in titles:
        has_status(scene, title, TaskStatus.COMPLETED)
    # The ids of runs are in the order of their assignment.
    assert sorted(titles, key=lambda title: scene.task(title).runs[0].id) == titles


# The last answer.


@then(says("the answer says {status:task_status}"))
def answered(scene: Scene, status: TaskStatus) -> None:
    assert (scene.answers[-1].status, scene.answers[-1].cancel_requested) == (status, True)


@then("the answer says that cancel was asked")
def answered_asked(scene: Scene) -> None:
    answered(scene, TaskStatus.RUNNING)


@then("both answers are one task")
def one_task(scene: Scene) -> None:
    assert scene.answers[-1].id == scene.answers[-2].id


@then(says("it failed of {kind}: {words:text}"))
def failed_of(scene: Scene, kind: str, words: str) -> None:
    task = scene.task()
    assert task.failure is FailureKind(kind)
    assert words in task.error


# Its runs.


@then("its runs are")
def has_runs(scene: Scene, datatable: list[list[str]]) -> None:
    assert [_row(run) for run in scene.task().runs] == rows(datatable)


def _row(run: Run) -> dict[str, str]:
    failure = run.failure.value if run.failure else ""
    return {"attempt": str(run.attempt), "worker": run.worker_id, "status": run.status.value, "failure": failure}


@then("it has no runs")
def has_no_runs(scene: Scene) -> None:
    assert scene.task().runs == ()


@then("it had 1 run")
def had_one_run(scene: Scene) -> None:
    assert len(scene.task().runs) == 1


@then("nothing of it executes any more")
@then("nothing of its first run executes any more")
def nothing_left(scene: Scene) -> None:
    first = scene.task().runs[0]

    def check() -> None:
        assert not scene.driver.is_executing(first.id)

    scene.eventually(check, 2)


@then(says("its run used the model {model:text} of {provider:text}"))
def used_model(scene: Scene, model: str, provider: str) -> None:
    backend = scene.task().runs[-1].backend
    assert backend is not None
    assert (backend.provider, backend.model_name) == (provider, model)


@then("its run took more than 0 tokens")
def took_tokens(scene: Scene) -> None:
    usage = scene.task().runs[-1].usage
    assert usage is not None
    assert min(attrgetter("input_tokens", "output_tokens")(usage)) > 0


# What it said.


def story(scene: Scene) -> Reader:
    """The story of the task spoken of last, to its end."""
    reader = Reader(scene.driver.watch(scene.tasks[scene.title]))
    reader.read_to_end()
    return reader


@then(says("its output is {output:text}"))
def said(scene: Scene, output: str) -> None:
    # Where lines break is up to the agent.
    assert " ".join(story(scene).output().split()) == output


@then("its output is JSON with")
def said_json(scene: Scene, datatable: list[list[str]]) -> None:
    answer = json.loads(story(scene).output())
    assert {row[0]: answer[row[0]] for row in datatable} == {row[0]: row[1] for row in datatable}


@then(says("its output is JSON that also has a {one:text} and a {other:text}"))
def said_json_with(scene: Scene, one: str, other: str) -> None:
    answer = json.loads(story(scene).output())
    assert answer[one]
    assert answer[other]


@then("its story tells once that cancel was asked")
def told_once(scene: Scene) -> None:
    changes = [entry.body for entry in story(scene).entries if isinstance(entry.body, TaskChange)]
    asked = [change for change in changes if change.cancel_requested and change.status is TaskStatus.RUNNING]
    assert len(asked) == 1
