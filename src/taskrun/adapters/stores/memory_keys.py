"""Which task an idempotency key has made, in memory."""

from __future__ import annotations

from taskrun.domain.records import Task

#: How long before the earliest time that was last asked for a key is still kept: clocks may step back.
_SPARE_MS = 24 * 3600 * 1000
#: A few are forgotten with each question: more than can come between two of them for long.
_STEP = 4


class MemoryKeys:
    """The newest task of each caller and key. Every step is O(1); what nobody will ask for again is forgotten."""

    def __init__(self) -> None:
        #: By caller and key, in the order of making: when (Unix ms), and the task's id.
        self._made: dict[tuple[str, str], tuple[int, str]] = {}

    def __len__(self) -> int:
        return len(self._made)

    def add(self, task: Task) -> None:
        """A new task; one without a key is nothing."""
        if task.spec.idempotency_key:
            name = (task.created_by, task.spec.idempotency_key)
            self._made.pop(name, None)
            self._made[name] = (task.created_at_ms, task.id)

    def remove(self, task: Task) -> None:
        """The task is gone."""
        name = (task.created_by, task.spec.idempotency_key)
        if self._made.get(name, (0, ""))[1] == task.id:
            del self._made[name]

    def find(self, caller: str, key: str, since_ms: int) -> str | None:
        """The id of the task that was made at or after `since_ms`."""
        self._forget(since_ms - _SPARE_MS)
        made = self._made.get((caller, key))
        return made[1] if made is not None and made[0] >= since_ms else None

    def _forget(self, before_ms: int) -> None:
        for _ in range(_STEP):
            oldest = next(iter(self._made), None)
            if oldest is None or self._made[oldest][0] >= before_ms:
                return
            del self._made[oldest]
