"""Who is let in, and who has to go when."""

from __future__ import annotations

from taskrun.domain.certificates.certificate import Revocation
from taskrun.domain.certificates.presence import Presence
from taskrun.domain.errors import Unauthenticated
from taskrun.domain.identity import Identity, Role


def peer(name: str, ends_ms: int = 8_000, serial: str = "") -> Identity:
    return Identity(Role.WORKER, name, ends_ms, serial or f"{name}-serial", issued_at_ms=4_000)


def test_nobody_is_let_in_whose_certificate_has_expired_or_was_revoked() -> None:
    presence = Presence()
    assert presence.fault(peer("w"), 7_999) is None
    assert isinstance(presence.fault(peer("w"), 8_000), Unauthenticated)
    presence.revoke(Revocation(6_000, serial="w-serial"))
    fault = presence.fault(peer("w"), 7_000)
    assert isinstance(fault, Unauthenticated)
    assert fault.message == "The client certificate was revoked."


def test_each_stream_has_to_go_when_its_own_certificate_ends() -> None:
    presence = Presence()
    late, early = presence.enter(peer("w", 9_000)), presence.enter(peer("v"))
    assert presence.ended(7_999) == []
    assert presence.ended(8_000) == [early]
    assert presence.ended(9_000) == [late]
    assert presence.ended(9_000) == []


def test_who_left_has_nothing_to_go_for() -> None:
    presence = Presence()
    number = presence.enter(peer("w"))
    presence.leave(number)
    presence.leave(number)
    assert presence.ended(9_000) == []
    assert presence.grown_old(9_000) == []
    assert presence.revoke(Revocation(7_000, owner="worker:w")) == []
    assert presence.next_ms() is None


def test_all_streams_of_an_owner_go_when_it_is_revoked() -> None:
    presence = Presence()
    first, second, _ = [presence.enter(each) for each in (peer("w", serial="1"), peer("w", serial="2"), peer("v"))]
    assert presence.revoke(Revocation(7_000, owner="worker:w")) == [
        (first, peer("w", serial="1")),
        (second, peer("w", serial="2")),
    ]


def test_who_came_with_a_later_certificate_stays() -> None:
    presence = Presence()
    presence.enter(peer("w"))
    assert presence.revoke(Revocation(4_500, owner="worker:w")) == []


def test_the_streams_of_one_certificate_go_when_it_is_revoked() -> None:
    presence = Presence()
    one, _, again = [presence.enter(peer("w", serial=serial)) for serial in ("1", "2", "1")]
    presence.leave(one)
    assert [number for number, _ in presence.revoke(Revocation(7_000, serial="1"))] == [again]


def test_a_certificate_that_nobody_renews_is_told_of_once_and_counted_until_its_stream_ends() -> None:
    presence = Presence()
    number = presence.enter(peer("w"))
    assert presence.grown_old(6_999) == []
    assert presence.grown_old(7_000) == [peer("w")]
    assert presence.grown_old(7_500) == []
    assert presence.aged == 1
    presence.leave(number)
    assert presence.aged == 0


def test_the_next_moment_is_the_earliest_of_all() -> None:
    presence = Presence()
    presence.enter(peer("w"))
    assert presence.next_ms() == 7_000
    presence.grown_old(7_000)
    assert presence.next_ms() == 8_000
    presence.enter(peer("v", 5_000))
    assert presence.next_ms() == 4_750
