from __future__ import annotations

from taskrun.domain.identity import Identity, Role


def test_a_certificate_makes_its_holder_a_worker_or_a_client_and_nothing_else() -> None:
    assert [role.value for role in Role] == ["worker", "client"]


def test_two_certificates_of_one_holder_are_two_identities() -> None:
    old = Identity(Role.WORKER, "w1", not_after_ms=1, serial="0a")
    new = Identity(Role.WORKER, "w1", not_after_ms=2, serial="0b")
    assert old != new
    assert old == Identity(Role.WORKER, "w1", 1, "0a")
