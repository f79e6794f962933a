"""A record that an older or a newer TaskRun wrote is read, as far as it is known."""

from __future__ import annotations

from dataclasses import MISSING, fields

from taskrun.adapters.stores.rows import birth_of, entries_json, entries_of, state_of, tasks_of
from taskrun.domain.records import Run, RunEvent, StoryEntry, Task, TaskChange, TaskSpec
from taskrun.domain.status import RunEventType, RunStatus, TaskStatus

RUN = '{"id":"r","worker_id":"w","status":"RUNNING","attempt":1}'
LATER = '"of_a_later_version":{"x":[1]}'


def test_a_task_without_later_fields_gets_their_defaults_and_unknown_ones_are_passed_over() -> None:
    birth = f'{{"created_by":"ann","created_at_ms":7,"spec":{{"agent":"a","input_json":"1",{LATER}}},{LATER}}}'
    state = f'{{"status":"RUNNING","runs":[{RUN[:-1]},{LATER}}}],{LATER}}}'
    run = Run("r", "w", RunStatus.RUNNING, 1)
    expected = Task("t", TaskSpec("a", "1"), TaskStatus.RUNNING, "ann", 7, (run,))
    assert tasks_of(f'[["t",{birth},{state}]]') == [expected]


def test_an_entry_of_a_story_too() -> None:
    entry = f'[[3,9,"change",{{"status":"RUNNING","run":{RUN},{LATER}}}]]'
    change = TaskChange(TaskStatus.RUNNING, run=Run("r", "w", RunStatus.RUNNING, 1))
    assert entries_of(entry.encode()) == [StoryEntry(3, 9, change)]


def test_and_an_event_whose_type_is_of_a_later_version() -> None:
    entry = f'[[3,9,"event",{{"run_id":"r","type":"DREAMT","metadata":{{"of":"sheep"}},{LATER}}}]]'
    assert entries_of(entry.encode()) == [StoryEntry(3, 9, RunEvent("r", RunEventType.UNKNOWN, {"of": "sheep"}))]


def test_what_has_its_default_value_is_left_out() -> None:
    run = Run("r", "w", RunStatus.RUNNING, 1)
    task = Task("t", TaskSpec("a", "1"), TaskStatus.RUNNING, "ann", 7, (run,))
    assert birth_of(task) == b'{"created_by":"ann","created_at_ms":7,"spec":{"agent":"a","input_json":"1"}}'
    assert state_of(task).decode() == f'{{"status":"RUNNING","runs":[{RUN}]}}'
    changes = [
        StoryEntry(3, 9, TaskChange(TaskStatus.RUNNING, run=run)),
        StoryEntry(4, 9, TaskChange(TaskStatus.PENDING)),
    ]
    expected = f'[[3,9,"change",{{"status":"RUNNING","run":{RUN}}}],[4,9,"change",{{"status":"PENDING"}}]]'
    assert entries_json(changes).decode() == expected


def test_so_those_values_never_change() -> None:
    """A stored record without the field means the value that was the default when it was stored."""
    kept = [
        field for kind in (Run, Task, TaskChange, TaskSpec) for field in fields(kind) if field.default is not MISSING
    ]
    other = {field.name: field.default for field in kept if field.default not in (0, "", None, (), frozenset())}
    assert other == {"max_attempts": 3}
