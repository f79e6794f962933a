"""Frozen values at the price of plain ones.

A frozen dataclass sets each of its fields through `object.__setattr__`: with a few dozen values a task that was 40 %
of the core's time. So `value` is `dataclass` to the type checker, which refuses any assignment to a frozen field, and
makes a plain slotted class at runtime: see docs/adr/0006-values.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    Class = TypeVar("Class")

    def value(*, frozen: bool, slots: bool) -> Callable[[type[Class]], type[Class]]:
        """A slotted dataclass, compared and hashed by its fields, that is not to be changed."""
        assert frozen
        return dataclass(slots=slots, unsafe_hash=True)


__all__ = ["value"]
