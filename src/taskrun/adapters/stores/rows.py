"""Records to and from the JSON that a database holds: total functions both ways.

A task is kept in two parts: its state, which changes, and its birth, which never does. Which field is in which is taken
from `Task` itself, and fields are stored by name: a field that `Task` or `Run` gains later, with a default, needs no
migration. What has its default value is left out, which halves what a task takes; so a default, once
stored, never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, fields
from operator import attrgetter
from typing import Any, get_type_hints

import msgspec

from taskrun.domain.records import (
    OutputSegment,
    Requirement,
    Run,
    RunEvent,
    RunMessage,
    Share,
    StoryBody,
    StoryEntry,
    Task,
    TaskChange,
    TaskSpec,
)


class Birth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What never changes about a task."""

    created_by: str
    created_at_ms: int
    spec: TaskSpec
    share: Share = ()
    ageing: int = 0


_FIXED = {"id", *Birth.__struct_fields__}
_MOVING = [field for field in fields(Task) if field.name not in _FIXED]
_MOVING_NAMES = [field.name for field in _MOVING]


class _Lean:
    """Makes of a record a struct that is encoded without the fields that have their default values."""

    def __init__(self, record: type, wanted: Sequence[Field[Any]] = (), inner: str = "") -> None:
        """Of these fields, or of all. `inner` names the one whose value is given with the record: it is lean, too."""
        kinds = get_type_hints(record)
        ordered = sorted(wanted or fields(record), key=lambda field: (not _needed(field), field.name == inner))
        described = [_described(field, kinds[field.name]) for field in ordered]
        self.struct: Any = msgspec.defstruct(record.__name__, described, omit_defaults=True)
        self._values = attrgetter(*(field.name for field in ordered if field.name != inner))

    def __call__(self, record: object, *inner: object) -> Any:
        return self.struct(*self._values(record), *inner)


def _needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _described(field: Field[Any], kind: Any) -> tuple[Any, ...]:
    if field.default_factory is not MISSING:
        return field.name, kind, msgspec.field(default_factory=field.default_factory)
    return (field.name, kind) if _needed(field) else (field.name, kind, field.default)


_state = _Lean(Task, _MOVING, inner="runs")
_spec, _run, _change = _Lean(TaskSpec), _Lean(Run), _Lean(TaskChange, inner="run")
_State: Any = _state.struct
_moving_values = attrgetter(*_MOVING_NAMES)

#: By what a story's entry is, the word that marks it.
_MARKS: dict[type, str] = {TaskChange: "change", OutputSegment: "output", RunEvent: "event", RunMessage: "message"}

_encode = msgspec.json.Encoder().encode
_decode_tasks = msgspec.json.Decoder(list[tuple[str, Birth, _State]]).decode
_decode_birth = msgspec.json.Decoder(Birth).decode
_decode_state = msgspec.json.Decoder(_State).decode
_decode_entries = msgspec.json.Decoder(list[tuple[int, int, str, msgspec.Raw]]).decode
_body_decoders: dict[str, Any] = {mark: msgspec.json.Decoder(body).decode for body, mark in _MARKS.items()}
_decode_pairs = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def state_of(task: Task) -> bytes:
    """What changes about the task."""
    return _encode(_state(task, tuple(map(_run, task.runs))))


def birth_of(task: Task) -> bytes:
    """What never changes about the task."""
    return _encode(Birth(task.created_by, task.created_at_ms, _spec(task.spec), task.share, task.ageing))


def tasks_of(json: str | bytes) -> list[Task]:
    """The tasks of a JSON list of [id, birth, state]. Raises `msgspec.MsgspecError`, or `ValueError`, if it is none."""
    return [_task(task_id, birth, state) for task_id, birth, state in _decode_tasks(json)]


def task_of(task_id: str, birth: str | bytes, state: str | bytes) -> Task:
    """The task of this id, birth and state. Raises as `tasks_of`."""
    return _task(task_id, _decode_birth(birth), _decode_state(state))


def _task(task_id: str, birth: Birth, state: Any) -> Task:
    return Task(
        id=task_id,
        created_by=birth.created_by,
        created_at_ms=birth.created_at_ms,
        spec=birth.spec,
        share=birth.share,
        ageing=birth.ageing,
        **dict(zip(_MOVING_NAMES, _moving_values(state), strict=True)),
    )


def entries_json(entries: Iterable[StoryEntry]) -> bytes:
    """Entries of a story, as one JSON list."""
    return _encode([(entry.seq, entry.at_ms, _MARKS[type(entry.body)], _body_of(entry.body)) for entry in entries])


def _body_of(body: StoryBody) -> Any:
    """As it is encoded. Changes of status are most of what is stored; the others have few fields with defaults."""
    if type(body) is not TaskChange:
        return body
    run = body.run
    return _change(body, run and _run(run))


def entries_of(json: str | bytes) -> list[StoryEntry]:
    """The inverse of `entries_json`."""
    return [StoryEntry(seq, at_ms, _body(mark, raw)) for seq, at_ms, mark, raw in _decode_entries(json)]


def _body(mark: str, raw: msgspec.Raw) -> StoryBody:
    body: StoryBody = _body_decoders[mark](raw)
    return body


def pairs_json(pairs: Sequence[tuple[str, str]]) -> str:
    """A requirement's selector, or its share: equal ones have equal texts."""
    return _encode(pairs).decode()


def requirement_of(agent: str, selector: str, share: str) -> Requirement:
    """The requirement of these columns."""
    return Requirement(agent, _decode_pairs(selector), _decode_pairs(share))
