"""JSON that somebody else wrote: whatever is not of the expected shape counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
    """A whole number above 0, else 0."""
    return value if isinstance(value, int) and value > 0 else 0


def amount(value: Any) -> float:
    """A finite number from 0 on, else 0."""
    return float(value) if isinstance(value, (int, float)) and 0 <= value < float("inf") else 0.0
