"""The final state, as the API shows it, in the form in which the oracle reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any
from zlib import crc32

import msgspec

from chaos.speech import Ear, Speech
from taskrun.domain.records import OutputSegment, Run, StoryEntry, Task, TaskChange

#: The label that says which of the load's tasks it is.
NUMBER = "number"
_NOTHING = sha256().hexdigest()


def atoms(entries: Iterable[StoryEntry]) -> Iterator[list[int]]:
    """Each sequence number of these entries, with a checksum of what it says: however output is cut into segments."""
    for entry in entries:
        body = entry.body
        if isinstance(body, OutputSegment) and body.contents:
            for index, content in enumerate(body.contents):
                yield [entry.seq + index, crc32(f"{body.run_id} {body.first_seq + index} {content}".encode())]
        else:
            # A map has no order.
            said = json.dumps(msgspec.to_builtins(body), sort_keys=True)
            yield [entry.seq, crc32(said.encode())]


def end_of(entries: Iterable[StoryEntry]) -> list[str]:
    """The ends among these entries."""
    return [entry.body.status.value for entry in entries if entry.is_end and isinstance(entry.body, TaskChange)]


class Portrait:
    """One task's story, read to its end without being kept."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._ears: dict[str, Ear] = {}
        self._atoms: list[list[int]] = []
        self._ends: list[str] = []
        self._truncated: set[str] = set()
        self._last_is_end = False

    def read(self, entries: Iterable[StoryEntry]) -> None:
        entries = list(entries)
        self._atoms += atoms(entries)
        self._ends += end_of(entries)
        for entry in entries:
            self._last_is_end = entry.is_end
            if isinstance(entry.body, OutputSegment):
                self._hear(entry.body)

    def facts(self) -> dict[str, Any]:
        """The facts of a `final` event."""
        task = self.task
        return {
            "task": task.id,
            "number": int(task.spec.labels.get(NUMBER, -1)),
            "status": task.status.value,
            "atoms": self._atoms,
            "ends": self._ends,
            "last_is_end": self._last_is_end,
            "runs": [self._run(run) for run in task.runs],
        }

    def _hear(self, segment: OutputSegment) -> None:
        ear = self._ears.get(segment.run_id)
        if ear is None:
            ear = self._ears[segment.run_id] = Ear(Speech.parse(json.loads(self.task.spec.input_json)))
        for content in segment.contents:
            ear.hear(content)
        if segment.truncated:
            self._truncated.add(segment.run_id)

    def _run(self, run: Run) -> dict[str, Any]:
        ear = self._ears.get(run.id)
        return {
            "run": run.id,
            "worker": run.worker_id,
            "status": run.status.value,
            "failure": run.failure.value if run.failure else None,
            "assigned": run.assigned_at_ms / 1000,
            "finished": run.finished_at_ms / 1000,
            "chars": ear.chars if ear else 0,
            "digest": ear.digest if ear else _NOTHING,
            "stray": ear.stray if ear else None,
            "truncated": run.id in self._truncated,
        }
