from __future__ import annotations

from pytest_bdd import then

from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TaskRunError,
    Unauthenticated,
)
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import says

_KINDS: dict[str, type[TaskRunError]] = {
    "as an invalid argument": InvalidArgument,
    "as unauthenticated": Unauthenticated,
    "as not permitted": PermissionDenied,
    "as not found": NotFound,
    "as a failed precondition": FailedPrecondition,
    "because it already exists": AlreadyExists,
}


@then(says("it is refused {kind}"))
def refused(scene: Scene, kind: str) -> None:
    kind, _, words = kind.partition(': "')
    assert type(scene.refusal) is _KINDS[kind]
    assert words.removesuffix('"') in scene.refusal.message
