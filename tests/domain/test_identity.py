from __future__ import annotations

import pytest

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES, Identity, Role, check_client_name


def test_the_words_of_the_roles() -> None:
    assert [role.value for role in CLIENT_ROLES] == ["read", "submit", "admin"]
    assert {*Role} == {*CLIENT_ROLES, Role.WORKER, Role.NOBODY}


def test_a_renewed_certificate_is_another_identity_of_the_same_peer() -> None:
    old = Identity(Role.WORKER, "w1", not_after_ms=1, serial="0a")
    new = Identity(Role.WORKER, "w1", not_after_ms=2, serial="0b")
    assert old != new
    assert old == Identity(Role.WORKER, "w1", 1, "0a")


@pytest.mark.parametrize(("role", "owner"), [(Role.WORKER, "worker:a"), *((role, "client:a") for role in CLIENT_ROLES)])
def test_the_owner_of_a_certificate_is_its_common_name(role: Role, owner: str) -> None:
    assert Identity(role, "a", 1, "0a").owner == owner


@pytest.mark.parametrize("name", ["a", "Ann.O_Nym-1@example", "x" * 63])
def test_a_name_of_a_client(name: str) -> None:
    check_client_name(name)


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 64, "a\n", "a/b", "a:b"])
def test_what_cannot_be_the_name_of_a_client(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_client_name(name)


def test_an_owner_alone_tells_no_role_and_so_is_the_least() -> None:
    assert Identity.of("client:a", 1, "0a", 0).role is Role.READ
    assert Identity.of("worker:a", 1, "0a", 0) == Identity(Role.WORKER, "a", 1, "0a")


def test_what_is_neither_a_worker_nor_a_client_owns_no_certificate() -> None:
    with pytest.raises(ValueError, match="the owner of no certificate"):
        Identity.of("admin:a", 1, "0a", 0)
