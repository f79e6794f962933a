"""Messages of the wire with every field filled in, whatever fields there will be: what a peer can say, all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
#: Gets a text field's name.
Words = Callable[[str], str]

#: Some messages hold others of their own kind.
_DEPTH = 4


def filled(kind: type[M], words: Words) -> M:
    """A message whose text fields hold what `words` says, its maps and lists an entry each, its numbers 1."""
    return _filled(kind(), words, _DEPTH)


def _filled(message: M, words: Words, depth: int) -> M:
    for field in message.DESCRIPTOR.fields:
        kind = field.message_type
        if kind is not None and depth == 0:
            continue
        if kind is not None and kind.GetOptions().map_entry:
            _fill_map(getattr(message, field.name), field, words, depth)
        elif kind is not None:
            held = getattr(message, field.name)
            _filled(held.add() if field.is_repeated else held, words, depth - 1)
        elif field.is_repeated:
            getattr(message, field.name).append(_value(field, field.name, words))
        else:
            setattr(message, field.name, _value(field, field.name, words))
    return message


def _fill_map(held: Any, field: Any, words: Words, depth: int) -> None:
    value, key = field.message_type.fields_by_name["value"], words(field.name)
    if value.message_type is None:
        held[key] = _value(value, field.name, words)
    else:
        _filled(held[key], words, depth - 1)


def _value(field: Any, name: str, words: Words) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return words(name)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return words(name).encode()
    # The first number of an enum says nothing.
    return True if field.type == FieldDescriptor.TYPE_BOOL else 1
