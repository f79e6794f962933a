from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.deadlines import Deadlines


def test_nothing_is_due_where_nothing_is_armed() -> None:
    deadlines = Deadlines[str]()
    assert deadlines.next() is None
    assert deadlines.pop(1e9) is None


def test_keys_fall_due_in_the_order_of_their_times_and_none_too_early() -> None:
    deadlines = Deadlines[str]()
    deadlines.arm("late", 2.0)
    deadlines.arm("early", 1.0)
    assert deadlines.next() == 1.0
    assert deadlines.pop(0.9) is None
    assert [deadlines.pop(2.0), deadlines.pop(2.0), deadlines.pop(2.0)] == ["early", "late", None]


def test_equal_times_fall_due_in_the_order_of_arming() -> None:
    deadlines = Deadlines[str]()
    for key in "bac":
        deadlines.arm(key, 1.0)
    assert [deadlines.pop(1.0) for _ in range(3)] == ["b", "a", "c"]


def test_arming_again_moves_the_deadline_either_way() -> None:
    deadlines = Deadlines[str]()
    deadlines.arm("key", 1.0)
    deadlines.arm("key", 5.0)
    assert deadlines.pop(1.0) is None
    deadlines.arm("key", 0.5)
    assert deadlines.pop(1.0) == "key"
    assert deadlines.pop(9.0) is None


def test_a_disarmed_key_does_not_fall_due_and_disarming_twice_is_harmless() -> None:
    deadlines = Deadlines[str]()
    deadlines.arm("key", 1.0)
    deadlines.disarm("key")
    deadlines.disarm("key")
    assert len(deadlines) == 0
    assert deadlines.next() is None


def test_a_key_that_is_moved_without_end_costs_no_memory() -> None:
    deadlines = Deadlines[int]()
    for at in range(20_000):
        deadlines.arm(at % 10, float(at))
    assert len(deadlines._heap) <= 1024
    assert [deadlines.pop(20_000.0) for _ in range(10)] == list(range(10))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 9).map(float)), max_size=60))
def test_it_is_a_dict_of_times_looked_through_for_the_least(steps: list[tuple[str, float | None]]) -> None:
    deadlines, model = Deadlines[str](), dict[str, float]()
    for key, at in steps:
        if at is None:
            deadlines.disarm(key)
            model.pop(key, None)
        else:
            deadlines.arm(key, at)
            model[key] = at
        assert deadlines.next() == min(model.values(), default=None)
        assert len(deadlines) == len(model)
    popped = []
    while (key_due := deadlines.pop(5.0)) is not None:
        popped.append(key_due)
    assert sorted(popped) == sorted(key for key, at in model.items() if at <= 5.0)
    assert [model[key] for key in popped] == sorted(model[key] for key in popped)


def test_when_a_key_falls_due_is_known_while_it_is_armed() -> None:
    deadlines = Deadlines[str]()
    assert deadlines.of("key") is None
    deadlines.arm("key", 5.0)
    deadlines.arm("key", 2.0)
    assert deadlines.of("key") == 2.0
    deadlines.disarm("key")
    assert deadlines.of("key") is None
