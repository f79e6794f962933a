"""Records to and from the JSON that a database holds: total functions both ways.

A task is kept in two parts: its state, which changes, and its birth, which never does. Which field is in which is taken
from `Task` itself, and fields are stored by name: a field that `Task` or `Run` gains later, with a default, needs no
migration. What has its default value is left out of a state.
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
_moving_values = attrgetter(*_MOVING_NAMES)


def _struct_field(field: Field[Any]) -> tuple[Any, ...]:
    kind = get_type_hints(Task)[field.name]
    return (field.name, kind) if field.default is MISSING else (field.name, kind, field.default)


_State: Any = msgspec.defstruct("State", [_struct_field(field) for field in _MOVING], omit_defaults=True)

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
    return _encode(_State(*_moving_values(task)))


def birth_of(task: Task) -> bytes:
    """What never changes about the task."""
    return _encode(Birth(task.created_by, task.created_at_ms, task.spec, task.share, task.ageing))


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
    return _encode([(entry.seq, entry.at_ms, _MARKS[type(entry.body)], entry.body) for entry in entries])


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
