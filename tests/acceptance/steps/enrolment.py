from __future__ import annotations

from pytest_bdd import given, step, then, when

from taskrun.domain.status import WorkerStatus
from tests.acceptance.cast import GENERAL
from tests.acceptance.driver import WorkerSetup
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import says

_HOUR = 3600


def _new_token(scene: Scene, worker_id: str, ttl_seconds: int = _HOUR) -> None:
    made = scene.driver.create_token(worker_id, ttl_seconds)
    scene.token, scene.token_worker_id = made.token, made.worker_id


@given(says("a token for the worker {worker:text}"))
def token_for(scene: Scene, worker: str) -> None:
    _new_token(scene, worker)
    assert scene.token_worker_id == worker


@given("a token for a worker without a name")
def token_for_nobody(scene: Scene) -> None:
    _new_token(scene, "")


@given("a token that is used")
def used_token(scene: Scene) -> None:
    _new_token(scene, "atlas")
    scene.driver.enrol(scene.token)


@given("a token that is unknown")
def unknown_token(scene: Scene) -> None:
    _new_token(scene, "atlas")
    head, dot, pin = scene.token.partition(".")
    # Another secret of the same form. Its last character carries padding bits: that one stays.
    scene.token = head[:-2] + ("A" if head[-2] != "A" else "B") + head[-1] + dot + pin


@given("a token that is expired")
def expired_token(scene: Scene) -> None:
    _new_token(scene, "atlas", ttl_seconds=1)
    scene.driver.pass_time(1)


@step("a machine enrols with the token")
def enrol(scene: Scene) -> None:
    scene.worker_id = scene.driver.enrol(scene.token)


@when("a machine tries to enrol with the token")
def try_to_enrol(scene: Scene) -> None:
    with scene.trying():
        scene.driver.enrol(scene.token)


@when("a machine tries to enrol with a malformed request")
def enrol_malformed(scene: Scene) -> None:
    with scene.trying():
        scene.driver.enrol_malformed(scene.token)


@when(says("somebody asks for a token for the worker {worker:text} that lasts {seconds:number} seconds"))
def ask_for_token(scene: Scene, worker: str, seconds: int) -> None:
    with scene.trying():
        scene.driver.create_token(worker, seconds)


@then(says("it is now the worker {worker:text}"))
def is_worker(scene: Scene, worker: str) -> None:
    assert scene.worker_id == worker


@then("it is now the worker that the token names")
def is_named_worker(scene: Scene) -> None:
    assert scene.worker_id == scene.token_worker_id != ""


@then(says("the worker {worker:text} can connect"))
def can_connect(scene: Scene, worker: str) -> None:
    scene.driver.start_worker(worker, WorkerSetup([GENERAL], {}))
    assert [(view.id, view.status) for view in scene.driver.workers()] == [(worker, WorkerStatus.IDLE)]
