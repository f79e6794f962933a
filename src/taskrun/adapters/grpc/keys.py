"""Idempotency keys for tasks that come without one, so that creating them can be repeated."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from taskrun.domain.limits import RETRY_KEY
from taskrun.domain.records import TaskSpec


def random_name() -> str:
    """128 bits from the system, as text."""
    return os.urandom(16).hex()


class Keys:
    """Makes keys that nobody else makes. They rise, for a store finds its place for such a key faster."""

    def __init__(self, name: Callable[[], str] = random_name) -> None:
        """`name` makes up a name that nobody else has."""
        self._name, self._numbers = name(), count()

    def keyed(self, spec: TaskSpec) -> TaskSpec:
        """The spec with a key: its own, if it has one."""
        return spec if spec.idempotency_key else replace(spec, idempotency_key=self.next())

    def next(self) -> str:
        """A key."""
        return f"{RETRY_KEY}{self._name}-{next(self._numbers):09}"
