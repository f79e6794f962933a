"""Every state with every event, of every machine of the control plane."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.errors import IllegalMove
from taskrun.domain.machines.machine import Machine
from taskrun.domain.machines.run import RUN, RunMove
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.machines.worker import WORKER, WorkerEvent
from taskrun.domain.status import RunStatus, TaskStatus, Word, WorkerStatus

MACHINES: list[tuple[Machine[Word, Word], type[Word], type[Word]]] = [
    (TASK, TaskStatus, TaskEvent),  # type: ignore[list-item]  # a machine is invariant in its states
    (RUN, RunStatus, RunMove),  # type: ignore[list-item]
    (WORKER, WorkerStatus, WorkerEvent),  # type: ignore[list-item]
]
PAIRS = [
    pytest.param(machine, states, state, event, id=f"{machine.name}: {state.name} {event.name}")
    for machine, states, events in MACHINES
    for state, event in product(states, events)
]


@pytest.mark.parametrize(("machine", "states", "state", "event"), PAIRS)
def test_a_legal_move_lands_in_the_enum_and_a_refused_one_raises_and_changes_nothing(
    machine: Machine[Word, Word], states: type[Word], state: Word, event: Word
) -> None:
    before = dict(machine.table)
    if (state, event) in machine.table:
        assert machine.after(state, event) in states
    else:
        with pytest.raises(IllegalMove) as refusal:
            machine.after(state, event)
        assert (refusal.value.machine, refusal.value.state, refusal.value.event) == (machine.name, state, event)
    assert machine.table == before


@given(st.sampled_from(MACHINES), st.data())
def test_a_walk_of_any_events_moves_by_the_table_and_never_leaves_it(
    row: tuple[Machine[Word, Word], type[Word], type[Word]], data: st.DataObject
) -> None:
    machine, states, events = row
    state = data.draw(st.sampled_from(list(states)))
    for event in data.draw(st.lists(st.sampled_from(list(events)), max_size=30)):
        try:
            state = machine.after(state, event)
        except IllegalMove:
            assert (state, event) not in machine.table
        assert state in states


def moves_from(machine: Machine[Word, Word], states: Iterable[Word]) -> set[Word]:
    return {state for state, _ in machine.table if state in set(states)}


def test_nothing_leads_out_of_an_end() -> None:
    for machine, states, _ in MACHINES:
        ends = [state for state in states if getattr(state, "is_terminal", False)]
        assert not moves_from(machine, ends)
    assert not moves_from(MACHINES[2][0], [WorkerStatus.LOST])


@pytest.mark.parametrize("end", [status for status in TaskStatus if status.is_terminal])
@pytest.mark.parametrize("event", TaskEvent)
def test_a_cancelled_task_never_becomes_completed_nor_any_end_anything_else(end: TaskStatus, event: TaskEvent) -> None:
    with pytest.raises(IllegalMove):
        TASK.after(end, event)


def test_every_state_can_be_reached() -> None:
    for machine, states, _ in MACHINES:
        assert set(machine.table.values()) | {next(iter(states))} == set(states)


def test_an_illegal_move_says_which_machine_where_and_what() -> None:
    with pytest.raises(IllegalMove, match=r"task machine: no move from .*COMPLETED on .*ASSIGNED"):
        TASK.after(TaskStatus.COMPLETED, TaskEvent.ASSIGNED)
