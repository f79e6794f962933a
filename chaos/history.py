"""What happened, one JSON object a line: the only thing that the oracle reads.

`at` is the monotonic clock that all processes of a machine share, in seconds. The kinds:

| what | facts |
| --- | --- |
| clock | utc: seconds, what the wall clock showed then |
| asked | number, agent, speech, attempts: a client wants this task |
| acknowledged | number, task: it was told that the task is taken |
| turned away | number, why: it was told to come again |
| cancel asked, cancel acknowledged | task |
| watched | watcher, task, atoms: what a watcher read, in the order in which it did |
| began, ended | task, run, worker, pid; how: an agent's own word; `how` is `done` or `stopped` |
| fault, fault over | fault, target; workers: of one control plane of several, those that were with it |
| connected | worker, plane: it is on a new stream, as its log says |
| final | task, number, status, atoms, ends, runs: what the API shows in the end |
| leftover | run, processes: still there when all is over |

An atom is one sequence number of a task's story: `[seq, checksum of what it says]`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

Event = Mapping[str, Any]


class Recorder(Protocol):
    """Where events go."""

    def add(self, what: str, **facts: Any) -> None: ...


class History:
    """A file that several processes write into: each event is one append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def add(self, what: str, **facts: Any) -> None:
        line = json.dumps({"at": time.monotonic(), "what": what, **facts}) + "\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        os.close(self._file)

    def read(self) -> list[Event]:
        """All events, in the order in which they happened."""
        with self.path.open() as file:
            return sorted((json.loads(line) for line in file), key=lambda event: event["at"])


class Memory:
    """A history in this process, under any clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.events: list[Event] = []

    def add(self, what: str, **facts: Any) -> None:
        self.events.append({"at": self._clock(), "what": what, **facts})
