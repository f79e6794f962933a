"""JSON that somebody else wrote: whatever is not of the expected shape counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What is larger no agent counts in earnest, and not every reader could take it.
MOST = 2**53


def mapping(value: Any) -> Mapping[str, Any]:
    """An object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """A text, else "". Half a surrogate pair, which JSON can say and UTF-8 cannot, is "?" in it."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def number(value: Any) -> int:
    """A whole number from 1 to `MOST`, else 0."""
    # To Python a truth is a number; to a message it is none.
    return value if type(value) is int and 0 < value <= MOST else 0


def amount(value: Any) -> float | None:
    """A number from 0 to `MOST`, else None."""
    return float(value) if type(value) in (int, float) and 0 <= value <= MOST else None
