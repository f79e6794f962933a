from __future__ import annotations

from taskrun.adapters.stores.memory_expiry import MemoryExpiry


def test_the_first_to_expire_are_found_and_stay() -> None:
    expiry = MemoryExpiry()
    for task_id, at in (("b", 2), ("c", 1), ("a", 2), ("d", 9)):
        expiry.add(task_id, at)
    assert expiry.first(2, 2) == expiry.first(2, 2) == ["c", "a"]
    assert expiry.first(8, 9) == ["c", "a", "b"]
    assert expiry.next_ms() == 1


def test_who_has_left_is_not_found() -> None:
    expiry = MemoryExpiry()
    expiry.add("a", 1)
    expiry.remove("a")
    expiry.remove("a")
    assert (expiry.first(5, 5), expiry.next_ms()) == ([], 0)


def test_who_left_and_came_back_is_found_once() -> None:
    expiry = MemoryExpiry()
    for _ in range(3):
        expiry.add("a", 1)
        expiry.remove("a")
    expiry.add("a", 1)
    assert expiry.first(1, 5) == ["a"]
    expiry.remove("a")
    expiry.add("a", 3)
    assert (expiry.first(2, 5), expiry.next_ms()) == ([], 3)


def test_those_who_left_take_no_room() -> None:
    expiry = MemoryExpiry()
    expiry.add("first", 1)
    for n in range(10_000):
        expiry.add(f"t{n}", 1000 + n)
        expiry.remove(f"t{n}")
    assert len(expiry._heap) < 100
    assert expiry.first(10**6, 5) == ["first"]
