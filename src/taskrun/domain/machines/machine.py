"""A state machine as one table: (state, event) -> state. What is not in the table is illegal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from taskrun.domain.errors import IllegalMove

State = TypeVar("State")
Event = TypeVar("Event")


class Machine(Generic[State, Event]):
    """Looks moves up. It holds no state of its own: one instance serves every object of its kind."""

    def __init__(self, name: str, table: Mapping[tuple[State, Event], State]) -> None:
        self.name = name
        self.table = dict(table)

    def after(self, state: State, event: Event) -> State:
        """The state that `event` leads to from `state`. Raises `IllegalMove`."""
        try:
            return self.table[state, event]
        except KeyError:
            raise IllegalMove(self.name, state, event) from None
