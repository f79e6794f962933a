from __future__ import annotations

import itertools

import pytest

from taskrun.domain.errors import PermissionDenied, Unauthenticated
from taskrun.domain.identity import CLIENT_ROLES, Role
from taskrun.domain.rights import METHODS, RIGHTS, ROUTES, check_right, is_open

GET_TASK, CREATE_TASK = "/taskrun.v1.TaskService/GetTask", "/taskrun.v1.TaskService/CreateTask"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("call", RIGHTS)
def test_a_role_may_what_the_table_says(role: Role, call: str) -> None:
    if role in RIGHTS[call]:
        check_right(role, call)
    else:
        with pytest.raises((PermissionDenied, Unauthenticated)):
            check_right(role, call)


@pytest.mark.parametrize("role", Role)
def test_what_the_table_does_not_name_is_denied(role: Role) -> None:
    assert not is_open("GET /new")
    with pytest.raises((PermissionDenied, Unauthenticated)):
        check_right(role, "GET /new")


@pytest.mark.parametrize(("less", "more"), list(itertools.pairwise(CLIENT_ROLES)))
def test_each_role_may_all_that_the_one_before_may(less: Role, more: Role) -> None:
    lesser = {call for call, roles in RIGHTS.items() if less in roles}
    assert lesser < {call for call, roles in RIGHTS.items() if more in roles}


def test_the_two_halves_of_the_table_name_different_calls() -> None:
    assert len(RIGHTS) == len(METHODS) + len(ROUTES)


def test_nobody_calls_a_method_for_grpc_knows_its_callers() -> None:
    assert not [call for call in METHODS if is_open(call)]


@pytest.mark.parametrize(
    ("role", "call", "message"),
    [
        (Role.READ, CREATE_TASK, f"The role read does not allow {CREATE_TASK}: it takes submit."),
        (Role.WORKER, GET_TASK, f"The role worker does not allow {GET_TASK}."),
        (Role.ADMIN, "GET /new", "The role admin does not allow GET /new."),
    ],
)
def test_the_refusal_says_which_role_it_takes(role: Role, call: str, message: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        check_right(role, call)
    assert refused.value.message == message
